"""Lower learning rate: a tenth of what overshoots."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("learning-rate-too-large",), changes="training", sources=("cs231n",), rank=1)
def lower_learning_rate(graph: Graph) -> Prescription | str:
    """A tenth of the learning rate.

    What it changes: the learning rate of every parameter group.

    When not to: where the gradient explodes on its way down; then the weights are to be cured, not the step.
    """
    if not any(parameter.learning_rate for parameter in graph.run.parameters):
        return "no optimizer with a learning rate was given"
    return Prescription(rate=0.1, why="a tenth of the learning rate: the steps overshot")
