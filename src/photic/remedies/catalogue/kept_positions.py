"""What tells positions apart, added to what makes them one."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_position import losing, one_position
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse",), changes="function", sources=("he2016", "oono2020"), rank=1)
def kept_positions(graph: Graph) -> Prescription | str:
    """The last value that tells the positions apart is added to the first of its shape in which they are one.

    What it changes: what is pooled, spread out or handed round comes on top of each position, and not in its place.

    When not to: where one answer for all positions is wanted; then the loss should ask for one.
    """
    if one_position(graph) is None:
        return "the answers to the positions of an example differ"
    pairs = losing(graph)
    if not pairs:
        return "nothing in the shape of what tells positions apart follows it"
    return Prescription(
        skips=tuple((graph.site(start).name, graph.site(end).name) for start, end in pairs),
        why="all positions of an example become one vector: add what tells them apart",
    )
