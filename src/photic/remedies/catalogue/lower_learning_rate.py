"""A lower learning rate, from the step that was measured."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import matrix_updates
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

WANTED = 0.03  # of the weights' size in one step; about 0.001 is usual
LEAST = 1e-4


@remedy(treats=("learning-rate-too-large",), changes="training", sources=("cs231n",), rank=1)
def lower_learning_rate(graph: Graph) -> Prescription | str:
    """A learning rate at which the largest step of a weight matrix is at most 3 % of its size, at most a tenth of what it was.

    What it changes: the learning rate of every parameter group.

    When not to: where the gradient explodes on its way down; then the weights are to be cured, not the step.
    """
    if not any(parameter.learning_rate for parameter in graph.run.parameters):
        return "no optimizer with a learning rate was given"
    moved = [ratio for ratio in matrix_updates(graph) if math.isfinite(ratio)]
    largest = max(moved, default=0.0)
    # A power of ten: what is measured is one step.
    factor = min(0.1, 10.0 ** math.floor(math.log10(WANTED / largest))) if largest > 0.0 else 0.1
    said = (
        f"one step moved a weight matrix by {100 * largest:.3g} % of its size"
        if largest > 0.0
        else "the steps overshot"
    )
    return Prescription(rate=max(factor, LEAST), why=f"{max(factor, LEAST):g} times the learning rate: {said}")
