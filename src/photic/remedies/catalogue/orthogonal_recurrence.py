"""Orthogonal recurrence: recurrent matrices that neither shrink nor stretch."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("vanishing-in-time", "exploding-in-time"), changes="weights", sources=("saxe2014", "henaff2016"), rank=2
)
def orthogonal_recurrence(graph: Graph) -> Prescription | str:
    """Orthogonal recurrent weights: a step in time keeps the length of the state and of the gradient.

    What it changes: the recurrent matrices of RNN, LSTM and GRU layers, gate by gate.

    When not to: a gated layer that is to forget; its memory is made by the gates' biases.
    """
    if not any(graph.reading(site.order).times is not None for site in graph.run.sites):
        return "there is no fused recurrent layer"
    return Prescription(
        recurrence="orthogonal",
        why="orthogonal recurrent weights keep the gradient's length from step to step (Saxe et al. 2014)",
    )
