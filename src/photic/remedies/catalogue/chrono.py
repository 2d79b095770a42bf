"""Chrono initialisation: LSTM and GRU units start with memories of all lengths."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.recurrent import longest_sequence
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("vanishing-in-time", "saturated-gates"), changes="weights", sources=("tallec2018", "jozefowicz2015"), rank=1
)
def chrono(graph: Graph) -> Prescription | str:
    """Chrono biases: the gates of LSTM and GRU units start with memories of 1 step to the whole sequence.

    What it changes: the biases of the gates that keep the state, b = ln U(1, T - 1), and of an LSTM's input gate, -b.

    When not to: what depends on the last steps alone is learned faster without; a plain RNN has no gate.
    """
    longest = longest_sequence(graph, "lstm", "gru")
    if longest < 3:
        return "there is no LSTM or GRU"
    return Prescription(
        recurrence="chrono",
        longest=longest,
        why=f"chrono: memories of 1 to {longest - 1} steps, so that the gradient lives through the sequence "
        "(Tallec & Ollivier 2018)",
    )
