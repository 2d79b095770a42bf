"""Cuts: where the way from the loss down to trainable parameters is severed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.sites import Parameter


@dataclass(frozen=True)
class Cut:
    """An operation that passes no gradient, and what lies below it.

    Attributes:
        site: its index.
        parameters: trainable parameters that get no gradient because of it.
        layers: sites of kind `weight` among those that lie below.
        share: their share of the numbers in all trainable parameters.
        under_no_grad: the operation is differentiable and ran under no_grad.
        into_loss_only: what it makes goes into the loss directly, like a target.
    """

    site: int
    parameters: tuple[Parameter, ...]
    layers: tuple[int, ...]
    share: float
    under_no_grad: bool
    into_loss_only: bool


_PASS_NONE = {
    "detach", "data", "argmax", "argmin", "gt", "lt", "ge", "le", "eq", "ne", "long", "int", "argsort", "sign_", "bool",
    "multinomial", "bernoulli", "searchsorted", "bucketize", "to", "type", "byte", "topk", "one_hot", "floor_divide",
}  # fmt: skip


def find_cut(graph: Graph) -> Cut | None:
    """Return the cut that severs most parameters; None when no way is severed."""
    lost = _lost(graph)
    if not lost:
        return None
    targets = _live(graph)
    best: Cut | None = None
    for site in graph.run.sites:
        if site.differentiable or site.phase == "loss":
            continue
        above = graph.descendants([site.order])
        if targets and not above & targets:
            continue  # what it makes never meets the loss: logging, metrics
        below = graph.ancestors([site.order]) | {site.order}
        severed = [parameter for parameter in lost if set(parameter.sites) & below]
        if not severed or (best is not None and len(severed) <= len(best.parameters)):
            continue
        meets = {graph.site(index).phase for index in graph.consumers.get(site.order, [])}
        total = sum(math.prod(p.shape) for p in graph.run.parameters if p.trainable)
        best = Cut(
            site.order,
            tuple(severed),
            tuple(index for index in sorted(below) if graph.site(index).kind == "weight"),
            sum(math.prod(p.shape) for p in severed) / max(total, 1),
            site.operation not in _PASS_NONE,
            meets == {"loss"} and bool(targets),
        )
    return best


def _lost(graph: Graph) -> list[Parameter]:
    """Return trainable parameters that were used and got no gradient, unless the optimizer leaves them out on purpose."""
    readings = zip(graph.run.parameters, graph.run.steps[graph.step].parameters, strict=True)
    return [p for p, r in readings if p.trainable and p.sites and r.gradient is None and p.owned is not False]


def _live(graph: Graph) -> set[int]:
    return {site.order for site in graph.run.sites if graph.gradient_norm(site.order) is not None}
