"""The hidden activation replaced by tanh, with Xavier weights."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import hidden_activations, matrices
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import initialisation


@remedy(
    treats=("vanishing-gradient", "saturated-activation", "dead-units"),
    changes="function",
    sources=("glorot2010", "lecun1998"),
    rank=2,
)
def tanh_activation(graph: Graph) -> Prescription | str:
    """tanh in the hidden layers, with Xavier weights.

    What it changes: every hidden activation (gates and outputs stay) and the initial weights.

    When not to: where hidden values must be positive.
    """
    acting = [index for index in hidden_activations(graph) if graph.site(index).operation != "tanh"]
    if not acting:
        return "there is no hidden activation other than tanh"
    return Prescription(
        layers=tuple(initialisation(graph, index, "xavier") for index in matrices(graph)),
        activations={graph.site(index).name: "tanh" for index in acting},
        why="tanh has mean 0 and slope 1 at 0; Xavier keeps its gradient (Glorot & Bengio 2010)",
    )
