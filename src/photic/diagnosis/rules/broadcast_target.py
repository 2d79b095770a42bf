"""Broadcast target: the loss compares every output with the target of every example."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.records.findings import Evidence, Finding
from photic.records.sites import Site

_MEETS = ("broadcast_tensors", "sub", "mul", "add", "div", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
# What gives one number for each example of what the model gave, with numbers of the batch beside it or not.
_ONE_BY_ONE = (
    "gather", "exp", "log", "logsumexp", "sub", "rsub", "add", "mul", "div", "neg", "sum", "mean", "clamp", "abs", "pow", "square",
)  # fmt: skip


@rule(sources=("harris2020",))
def broadcast_target(graph: Graph) -> Finding | None:
    """Outputs and targets differ in their number of axes, and broadcasting pairs each output with every target.

    Signs: in the loss the model's own output, or a number made of it for each example (the ratio of a policy), of shape [N, 1] or
    [N], meets as many numbers that no operation made (targets, advantages), and the result has N x N numbers; or one of shape
    [N, 1, ...] or [N, ...], as maps are, and the result has N times as many.

    Why it matters: the best answer to all targets at once is their mean, for every example. The loss falls to the
    variance of the targets and stays there; no error is raised, only a warning by some of torch's losses.

    False alarms: a loss that compares all pairs on purpose gives its operands axes of their own first (`x[:, None]`): then
    it is not the output itself that meets the targets. Shapes that fit do not count.
    """
    met = meeting(graph)
    if met is None:
        return None
    output, loss = met
    count = math.prod(output.shape)
    return Finding(
        problem="broadcast-target",
        severity="critical",
        sites=(output.name,),
        where=loss.where or output.where,
        evidence=(
            Evidence("outputs", float(count), "numbers"),
            Evidence("numbers that the loss compares", float(math.prod(loss.shape)), "numbers"),
        ),
        reason=(
            f"The output has shape {list(output.shape)}, the {count} targets another number of axes: {loss.name} broadcasts them to "
            f"{list(loss.shape)} and compares every example's output with every target, so the mean of the targets is the best answer for all."
        ),
        advice="Give both the same shape: output.squeeze(-1) (squeeze(1) for maps), or target.view_as(output).",
        confidence=0.97,
        sources=("harris2020",),
    )


def meeting(graph: Graph) -> tuple[Site, Site] | None:
    """Return the model's output and the operation of the loss in which it is broadcast against the targets."""
    for site in graph.run.sites:
        given = graph.reading(site.order).given
        if site.phase != "loss" or site.operation not in _MEETS or given is None:
            continue
        for source, _ in graph.feeders.get(site.order, []):
            if source < 0 or not _of_output(graph, source):
                continue
            shape = graph.site(source).shape
            count = math.prod(shape)
            if count > 1 and given.count == count and math.prod(site.shape) == count * shape[0] and shape[0] > 1:
                return graph.site(source), site
    return None


def _of_output(graph: Graph, index: int) -> bool:
    """Whether a site is an output of the model, or a number of it for each example (its log probability, a ratio of such), without a new axis."""
    seen, pending = {index}, [index]
    while pending:
        here = pending.pop()
        if here in graph.run.outputs:
            continue
        pulled = [source for source, edge in graph.feeders.get(here, []) if edge.gradient_norm is not None]
        below = {source for source in pulled if source >= 0}  # and not the places that a gather is told
        site = graph.site(here)
        straight = site.kind in ("shape", "activation") or site.operation in _ONE_BY_ONE
        if not below or not straight or len(site.shape) > max(len(graph.site(source).shape) for source in below):
            return False
        pending += below - seen
        seen |= below
    return True
