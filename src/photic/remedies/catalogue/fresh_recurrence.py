"""Recurrent weights as torch draws them."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell")


@remedy(
    treats=("saturated-gates", "exploding-in-time"), changes="weights", sources=("hochreiter1997", "paszke2017"), rank=3
)
def fresh_recurrence(graph: Graph) -> Prescription | str:
    """All weights of recurrent layers drawn uniformly within 1 / sqrt(hidden size), as torch does.

    What it changes: the initial weights and biases of LSTM, GRU and RNN layers.

    When not to: where they were trained before, or drawn on purpose in another way.
    """
    if not any(site.operation in _RECURRENT for site in graph.run.sites):
        return "there is no recurrent layer"
    return Prescription(recurrence="default", why="weights within 1 / sqrt(hidden size) keep gates off their ends")
