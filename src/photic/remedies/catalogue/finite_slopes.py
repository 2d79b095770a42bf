"""Slopes of slopes that are not finite count 0."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=1)
def finite_slopes(graph: Graph) -> Prescription | str:
    """0 in the place of what comes back and is not finite, at every call that a slope was taken through (`torch.autograd.grad`).

    What it changes: such a slope is differentiated once more by the loss, as forces and gradient penalties are; where the second
    derivative has no value, as that of a norm at 0, it adds nothing. All else stays to the bit.

    When not to: where such places are common: then the formula is to be changed.
    """
    if not_finite_at(graph) is None:
        return FINITE
    taken = [site.order for site in graph.run.sites if site.operation == "grad"]
    through = sorted(graph.ancestors(taken)) if taken else []
    names = tuple(
        graph.site(i).name for i in through if graph.site(i).differentiable and graph.site(i).kind != "weight"
    )
    if not names:
        return "no slope is taken on the way"
    return Prescription(finite=names, why="where a slope has no slope of its own, nothing comes back")
