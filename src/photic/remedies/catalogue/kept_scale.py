"""Examples that keep the scale that is asked for."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.told_nothing import asked_away
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("qi2017",), rank=1)
def kept_scale(graph: Graph) -> Prescription | str:
    """The division left out by which each example loses the numbers that are asked for.

    What it changes: examples enter in their own size; sizes that differ much may want one scale for all.

    When not to: where size is not to count, and tells what is asked for in this data alone.
    """
    found = asked_away(graph)
    if found is None:
        return "no division takes away what is asked for"
    return Prescription(
        removed=(graph.site(found[0]).name,), why="each example is divided by what is asked for: leave the division out"
    )
