"""Recurrent weights as torch draws them."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.recurrent import longest_sequence
from photic.initialisers.recurrent import forget_bias_for
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell")


@remedy(
    treats=("saturated-gates", "exploding-in-time"), changes="weights", sources=("hochreiter1997", "paszke2017"), rank=3
)
def fresh_recurrence(graph: Graph) -> Prescription | str:
    """All weights of recurrent layers drawn uniformly within 1 / sqrt(hidden size), as torch does, and an LSTM's forget gates open.

    What it changes: the initial weights and biases of LSTM, GRU and RNN layers; torch's forget gates, with a bias about 0, keep a state for two
    steps, so that they get one of ln T for sequences of T steps.

    When not to: where they were trained before, or drawn on purpose in another way.
    """
    if not any(site.operation in _RECURRENT for site in graph.run.sites):
        return "there is no recurrent layer"
    longest = longest_sequence(graph, "lstm")
    why = "weights within 1 / sqrt(hidden size) keep gates off their ends"
    opened = f", and forget gates with a bias of {forget_bias_for(longest):g} keep the state" if longest else ""
    return Prescription(recurrence="default", longest=longest, why=why + opened)
