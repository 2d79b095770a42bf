"""Weights of one sign, moved to a mean of 0."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.made_alike import averaged
from photic.diagnosis.roles import activation_after, relu_like
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse",), changes="weights", sources=("he2015", "lecun1998"), rank=1)
def centred_weights(graph: Graph) -> Prescription | str:
    """The mean is taken off weights that have one sign for the most part, and what is left is scaled to unit gain.

    What it changes: the initial weights of these layers: mean 0, fan_in * Var[w] of 2 before a ReLU and its like, else 1.

    When not to: where weights are to be positive, as in networks that may only grow with their input.
    """
    wanted: dict[str, float] = {}
    for index in averaged(graph):
        facts = graph.reading(index).weight
        gain = 2.0 if relu_like(activation_after(graph, index)) else 1.0
        own = [
            p.name for p, _ in graph.parameters.get(index, []) if p.trainable and len(p.shape) > 1 and "<" not in p.name
        ]
        if facts is not None and len(own) == 1:
            wanted[own[0]] = math.sqrt(gain / facts.fan_in)
    if not wanted:
        return "no stack of layers has weights of one sign"
    return Prescription(centred=wanted, why="weights of one sign average: take their mean off")
