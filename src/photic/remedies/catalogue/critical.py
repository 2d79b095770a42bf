"""Weights at the edge of chaos of each activation."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import matrices
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=(
        "vanishing-gradient",
        "exploding-gradient",
        "weights-too-small",
        "weights-too-large",
        "saturated-activation",
        "missing-normalisation",
    ),
    changes="weights",
    sources=("schoenholz2017",),
    rank=2,
)
def critical(graph: Graph) -> Prescription | str:
    """Weights at the edge of chaos of each activation.

    What it changes: the initial weights and biases.

    When not to: where the activation has no critical point, as a logistic sigmoid.
    """
    if not matrices(graph):
        return "the network has no linear or convolution layer of its own"
    return Prescription(scheme="critical", why="Weights at the edge of chaos of each activation")
