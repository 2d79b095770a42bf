"""Hops over a graph that keep what the first one said."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.smoothed import smoothed
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse",), changes="function", sources=("chen2020gcnii", "li2018"), rank=1)
def kept_hops(graph: Graph) -> Prescription | str:
    """What the first hop gives is added to what each later one gives.

    What it changes: rows are mixed as often as before, and keep what they and their neighbours said at first.

    When not to: where all rows are to agree.
    """
    found = smoothed(graph)
    if found is None:
        return "no rows are mixed again and again until they lie on one line"
    first, *later = found.hops
    return Prescription(
        skips=tuple((graph.site(first).name, graph.site(hop).name) for hop in later),
        why="hop after hop the rows become one: add what the first hop gives at each (Chen et al. 2020)",
    )
