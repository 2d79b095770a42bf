"""A quiet output layer."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import matrices
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import initialisation

LOUD = 2.0  # fan_in * Var[w]; Xavier has about 1


@remedy(
    treats=("weights-too-large", "exploding-gradient", "learning-rate-too-large", "diverging"),
    changes="weights",
    sources=("yang2021",),
    rank=3,
)
def quiet_output(graph: Graph) -> Prescription | str:
    """The output layer at Var[w] = 1 / fan_in^2, as muP has it, so that the network starts without opinions.

    What it changes: the weights of the last layer; its outputs start near 0 and the first losses near chance.

    When not to: where hidden layers are what is too large.
    """
    found = matrices(graph)
    if len(found) < 2:
        return "the network has no output layer above another layer"
    facts = graph.reading(found[-1]).weight
    if facts is None or facts.row_square_sum <= LOUD:
        return "the output layer is as quiet as Xavier's already"
    inputs = next(math.prod(p.shape[1:]) for p, _ in graph.parameters[found[-1]] if len(p.shape) >= 2)
    return Prescription(
        layers=(initialisation(graph, found[-1], "centred", scale=1.0 / inputs),),
        why="a quiet output layer: Var[w] = 1 / fan_in^2 (Yang et al. 2021)",
    )
