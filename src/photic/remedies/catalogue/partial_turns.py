"""Sines and cosines that go round once over the whole range."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.told_nothing import whole_turns
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("vaswani2017attention",), rank=0)
def partial_turns(graph: Graph) -> Prescription | str:
    """The arguments of sines and cosines that take whole turns divided by the number of turns of the largest, and one more.

    What it changes: 0 to 23 whole turns become 0 to 23 twenty-fourths of one: each number has a place of its own on the circle.

    When not to: where the numbers go further than this batch shows; then divide by the period.
    """
    waves = whole_turns(graph)
    if not waves:
        return "no sine takes whole turns alone"
    factors = {graph.site(index).name: 1.0 / (round(turns) + 1.0) for index, turns in waves}
    return Prescription(factors=factors, why="sines of whole turns are all alike: one turn over the whole range")
