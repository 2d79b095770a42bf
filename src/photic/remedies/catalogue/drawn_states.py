"""Vectors that begin alike, drawn apart."""

from __future__ import annotations

import math

from photic.diagnosis.drawn import one_number
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse",), changes="weights", sources=("glorot2010", "saxe2014"), rank=1)
def drawn_states(graph: Graph) -> Prescription | str:
    """Learned slots, queries or tokens that all begin at one number drawn from a standard normal distribution.

    What it changes: the initial values of parameters of the model's own with several rows, all of whose numbers are one number.

    When not to: where a layer's weights start at 0 on purpose; what tells the rows apart may come from elsewhere.
    """
    layers = [
        LayerInitialisation("", parameter.name, "", "centred", scale=float(math.prod(parameter.shape[1:])))
        for parameter in one_number(graph)
        if parameter.trainable and parameter.sites and not _of_a_layer(parameter.name) and _rows(parameter.shape) > 1
    ]
    if not layers:
        return "no parameter with several rows begins at one number"
    return Prescription(
        layers=tuple(layers), why="what begins alike asks alike, is told alike and stays alike: draw it"
    )


def _of_a_layer(name: str) -> bool:
    return name.rpartition(".")[2].startswith(("weight", "bias"))


def _rows(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-1])
