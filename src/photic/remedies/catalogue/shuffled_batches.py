"""Examples in a random order."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.sorted_batches import SORTED
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("sorted-batches",), changes="training", sources=("bengio2012practical",), rank=0)
def shuffled_batches(graph: Graph) -> Prescription | str:
    """The examples of all batches dealt anew, in a random order.

    What it changes: which examples stand in a batch; each holds some of every kind.

    When not to: where the order is what is learned (states that one batch leaves to the next), and where a batch is of one kind by design.
    """
    if (graph.run.grouped or 0.0) < SORTED:
        return "the batches are not sorted by what is asked for"
    return Prescription(shuffled=True, why="in a random order every batch asks for all that is asked for")
