"""Severed gradient: an operation cuts the only way from the loss to parameters that should learn."""

from __future__ import annotations

from photic.diagnosis.cuts import NOT_DIFFERENTIABLE, find_cut
from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed
from photic.records.findings import Evidence, Finding


@rule(sources=("paszke2017",))
def severed_gradient(graph: Graph) -> Finding | None:
    """An operation cuts the only way from the loss down to parameters that are meant to learn.

    Signs: trainable parameters took part in the forward pass, their output flows on towards the loss, no gradient at
    all comes back, and on the way stands an operation that passes none: `detach()`, `.data`, a block under
    `no_grad`. One without a derivative is `severed-nondifferentiable`.

    Why it matters: no error is raised; the layers below the cut stay as they were initialised.

    False alarms: frozen layers (requires_grad=False), parameters that another way reaches, heads whose output no loss
    uses, a value that is only a target of the loss (stop-gradient) are no cut.
    """
    cut = find_cut(graph)
    if cut is None or (graph.site(cut.site).operation in NOT_DIFFERENTIABLE and not cut.into_loss_only):
        return None
    site = graph.site(cut.site)
    lost = [parameter.name for parameter in cut.parameters]
    return Finding(
        problem="severed-gradient",
        severity="info" if cut.into_loss_only else "critical",
        sites=(site.name,),
        where=site.where,
        evidence=(
            Evidence("trainable parameters without any gradient", float(len(lost)), "tensors"),
            Evidence("their share of the trainable numbers", cut.share, "share"),
        ),
        reason=(
            f"{_how(site.operation, cut.under_no_grad)} at {site.name}{f' ({site.where})' if site.where else ''} cuts the way: "
            f"{listed(lost)} take part in the output and get no gradient."
        ),
        advice=f"Remove it, or freeze what lies below on purpose (requires_grad_(False)); {_instead(site.operation)}",
        confidence=0.6 if cut.into_loss_only else 0.97,
        sources=("paszke2017",),
        victims=tuple(graph.site(index).name for index in cut.layers),
    )


def _how(operation: str, under_no_grad: bool) -> str:
    if under_no_grad:
        return f"`{operation}` under no_grad"
    return {"detach": "`detach()`", "data": "`.data`", "item": "turning it into a plain number"}.get(
        operation, f"`{operation}`, which passes no gradient,"
    )


def _instead(operation: str) -> str:
    if operation == "item":
        return "add the tensor itself to the loss, and take `item()` only to log."
    if operation in ("detach", "data"):
        return "detach only copies that you log."
    return "take the call out of `torch.no_grad()`."
