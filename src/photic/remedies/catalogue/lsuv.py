"""Orthogonal weights scaled until each layer gives unit variance (LSUV)."""

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
    ),
    changes="weights",
    sources=("mishkin2016",),
    rank=4,
)
def lsuv(graph: Graph) -> Prescription | str:
    """Orthogonal weights scaled until each layer gives unit variance (LSUV).

    What it changes: the initial weights, by a few forward passes on a batch.

    When not to: behind logistic sigmoids, whose slope of 1/4 it does not see.
    """
    if not matrices(graph):
        return "the network has no linear or convolution layer of its own"
    return Prescription(scheme="lsuv", why="Orthogonal weights scaled until each layer gives unit variance (LSUV)")
