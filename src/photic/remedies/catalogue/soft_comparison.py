"""Comparisons with the gradient of a sigmoid."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_COMPARISONS = ("gt", "ge", "lt", "le")
_CASTS = ("float", "to", "type", "double", "half", "type_as", "bfloat16")


@remedy(treats=("severed-nondifferentiable",), changes="function", sources=("bengio2013",), rank=1)
def soft_comparison(graph: Graph) -> Prescription | str:
    """Straight-through for comparisons: numbers made of `x > y` keep their value, and x gets the gradient of a sigmoid.

    What it changes: the gradient of a comparison that is made a number: that of sigmoid(x - y) in place of none.

    When not to: where the comparison is a mask that is meant to pass nothing.
    """
    cut = find_cut(graph)
    if cut is None or graph.site(cut.site).operation not in _COMPARISONS:
        return "no comparison severs the gradient"
    names = [
        site.name
        for site in graph.run.sites
        if site.operation in _COMPARISONS and site.phase == "model" and graph.consumers.get(site.order)
        and all(graph.site(after).operation in _CASTS for after in graph.consumers[site.order])
    ]  # fmt: skip
    if not names:
        return "no number is made of the comparison"
    return Prescription(comparisons=tuple(names), why="a comparison has no gradient: that of a sigmoid takes its place")
