"""The normalisation left out behind what a branch multiplies, or shifts."""

from __future__ import annotations

from photic.diagnosis.cancelled import cancelled
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("ba2016",), rank=1)
def heard_scale(graph: Graph) -> Prescription | str:
    """The normalisation left out that takes away the scale, or the shift, that a branch gives to all numbers of an example, or to all examples.

    What it changes: what follows gets the numbers in the size that the branch gives them; to normalise before the branch comes in keeps both.

    When not to: where the size is to be taken away, and the branch is not needed.
    """
    found = cancelled(graph)
    if found is None or found.normaliser is None:
        return "no normalisation takes away what a branch gives to all numbers alike"
    return Prescription(
        removed=(graph.site(found.normaliser).name,),
        why="the normalisation takes away again what the branch gives: leave it out, or put it before the branch comes in",
    )
