"""Adam in place of an optimizer whose steps go with the size of the gradient."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.optimizers import adaptive
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("stalled-training", "learning-rate-too-small", "frozen-by-epsilon"),
    changes="training",
    sources=("kingma2015",),
    rank=5,
)
def adam(graph: Graph) -> Prescription | str:
    """Adam at its usual rate of 0.001, which divides each step by the gradient's own size.

    What it changes: the optimizer, with all settings of its own; it holds the same parameters. A layer whose gradient has faded
    or grown moves as far as the others.

    When not to: where the gradient does not arrive at all, or is rounding noise: Adam makes steps of that as well.
    """
    if adaptive(graph.run):
        return "the optimizer divides each step by the gradient's own size already"
    if not any(parameter.owned for parameter in graph.run.parameters):
        return "no optimizer was given"
    return Prescription(adam=True, why="Adam (Kingma and Ba 2015): steps that do not go with the size of the gradient")
