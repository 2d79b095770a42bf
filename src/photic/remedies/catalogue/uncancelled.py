"""What is taken away from itself, left in."""

from __future__ import annotations

from photic.diagnosis.cancelled import cancelled
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("wang2016dueling",), rank=1)
def uncancelled(graph: Graph) -> Prescription | str:
    """The difference left out in which something is taken away from itself, as a number less the mean of that one number.

    What it changes: the site hands on its first argument.

    When not to: where the mean is needed; then it is to be taken over all of them, before one is chosen.
    """
    found = cancelled(graph)
    if found is None or found.how != "two ways":
        return "nothing is taken away from itself"
    return Prescription(
        removed=(graph.site(found.site).name,), why="less its own mean one number is 0: leave the difference out"
    )
