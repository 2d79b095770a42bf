"""The gradient straight through a rounding."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.severed_nondifferentiable import severed_nondifferentiable
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-nondifferentiable",), changes="function", sources=("bengio2013",), rank=1)
def straight_through(graph: Graph) -> Prescription | str:
    """Straight-through: a rounding keeps its value and hands the gradient on.

    What it changes: the gradient of `round`, `floor`, `ceil`, `sign`, `trunc`: 1 in place of 0.

    When not to: after `argmax`, whose value is an index.
    """
    found = severed_nondifferentiable(graph)
    if found is None or not found.sites:
        return "no rounding severs the gradient"
    site = graph.run.site(found.sites[0])
    if site.operation not in ("round", "floor", "ceil", "sign", "trunc"):
        return f"what `{site.operation}` gives is not close to what it takes"
    same = [s.name for s in graph.run.sites if s.operation == site.operation and s.phase == "model"]
    return Prescription(straight=tuple(same), why="straight through: the rounding's gradient is taken as 1")
