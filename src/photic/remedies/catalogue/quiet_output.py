"""A quiet output layer."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import matrices
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import initialisation


@remedy(
    treats=("weights-too-large", "exploding-gradient", "diverging"), changes="weights", sources=("yang2021",), rank=3
)
def quiet_output(graph: Graph) -> Prescription | str:
    """The output layer at Var[w] = 1 / fan_in^2, as muP has it, so that the network starts without opinions.

    What it changes: the weights of the last layer; its outputs start near 0 and the first losses near chance.

    When not to: where hidden layers are what is too large.
    """
    found = matrices(graph)
    if len(found) < 2:
        return "the network has no output layer above another layer"
    fan_in = graph.site(found[-1]).settings.get("in_features")
    shape = next((p.shape for p, _ in graph.parameters.get(found[-1], []) if len(p.shape) >= 2), ())
    inputs = fan_in if isinstance(fan_in, int) else shape[1] if len(shape) > 1 else 0
    if inputs < 2:
        return "the output layer's inputs are not known"
    return Prescription(
        layers=(initialisation(graph, found[-1], "centred", scale=1.0 / inputs),),
        why="a quiet output layer: Var[w] = 1 / fan_in^2 (Yang et al. 2021)",
    )
