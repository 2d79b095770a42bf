"""Orthogonal weights with the gain of each activation."""

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
        "rank-collapse",
        "saturated-activation",
        "shattered-gradient",
    ),
    changes="weights",
    sources=("saxe2014",),
    rank=4,
)
def orthogonal(graph: Graph) -> Prescription | str:
    """Orthogonal weights with the gain of each activation.

    What it changes: the initial weights; biases 0.

    When not to: with ReLU the isometry is lost, though not its scale.
    """
    if not matrices(graph):
        return "the network has no linear or convolution layer of its own"
    return Prescription(scheme="orthogonal", why="Orthogonal weights with the gain of each activation")
