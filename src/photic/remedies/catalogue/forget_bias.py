"""Open forget gates."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("vanishing-in-time",), changes="weights", sources=("gers2000", "jozefowicz2015"), rank=3)
def forget_bias(graph: Graph) -> Prescription | str:
    """A bias of 1 for the forget gates of LSTM layers.

    What it changes: one quarter of the biases; a unit then keeps its state for about three steps instead of two.

    When not to: where the memory must last for tens of steps, which chrono biases give; a GRU or plain RNN has no such gate.
    """
    if not any(site.operation == "lstm" for site in graph.run.sites):
        return "there is no LSTM"
    return Prescription(recurrence="forget", why="open forget gates keep the state (Jozefowicz et al. 2015)")
