"""A severing `detach` removed."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import state_cuts
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("paszke2017",), rank=1)
def reattach(graph: Graph) -> Prescription | str:
    """The `detach` that severs the gradient removed.

    What it changes: the value passes as before, and the gradient comes back through it.

    When not to: where the cut is meant: a frozen part, a target.
    """
    cut = find_cut(graph)
    if cut is None and (states := state_cuts(graph)) is not None:
        names = tuple(graph.site(index).name for index in states[1])
        return Prescription(removed=names, why="the state of a loop keeps its gradient from step to step")
    if cut is None:
        return "nothing is severed"
    site = graph.site(cut.site)
    if site.operation not in ("detach", "data"):
        return f"`{site.operation}` cannot be replaced by its input"
    return Prescription(removed=(site.name,), why="without detach the gradient reaches the layers below")
