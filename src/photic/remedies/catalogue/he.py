"""He weights before ReLU and its relatives."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import activation_after, matrices, relu_like
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import initialisation


@remedy(
    treats=(
        "vanishing-gradient",
        "exploding-gradient",
        "dead-units",
        "saturated-activation",
        "weights-too-small",
        "weights-too-large",
        "rank-collapse",
    ),
    changes="weights",
    sources=("he2015",),
    rank=3,
)
def he(graph: Graph) -> Prescription | str:
    """He weights, Var[w] = 2 / fan_in, before ReLU and its relatives, Xavier elsewhere, biases 0.

    What it changes: the initial weights of linear and convolution layers.

    When not to: without ReLU-like activations, or where the last layer of a residual branch is meant to be 0.
    """
    layers = matrices(graph)
    chosen = [(index, relu_like(activation_after(graph, index))) for index in layers]
    if not any(suits for _, suits in chosen):
        return "no ReLU-like activation follows any layer"
    return Prescription(
        layers=tuple(initialisation(graph, index, "he" if suits else "xavier") for index, suits in chosen),
        why="He: Var[w] = 2 / fan_in keeps signal and gradient through ReLU (He et al. 2015)",
    )
