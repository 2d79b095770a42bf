"""Xavier weights in every layer."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import matrices
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import initialisation


@remedy(
    treats=(
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-activation",
        "dead-units",
        "weights-too-small",
        "weights-too-large",
        "rank-collapse",
    ),
    changes="weights",
    sources=("glorot2010",),
    rank=4,
)
def xavier(graph: Graph) -> Prescription | str:
    """Xavier weights, Var[w] = 2 / (fan_in + fan_out), biases 0.

    What it changes: the initial weights of linear and convolution layers.

    When not to: it keeps the gradient where the activation's slope is about 1 at 0 (tanh, softsign). Behind a
    logistic sigmoid, whose slope is 1/4, it does not cure; behind ReLU it loses a factor sqrt(2) per layer.
    """
    layers = matrices(graph)
    if not layers:
        return "the network has no linear or convolution layer of its own"
    return Prescription(
        layers=tuple(initialisation(graph, index, "xavier") for index in layers),
        why="Xavier: Var[w] = 2 / (fan_in + fan_out) keeps signal and gradient (Glorot & Bengio 2010)",
    )
