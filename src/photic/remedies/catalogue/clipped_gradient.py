"""Gradient clipping at a measured norm."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.optimizers import adaptive
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("exploding-gradient", "exploding-in-time", "non-finite", "diverging"),
    changes="training",
    sources=("pascanu2013",),
    rank=2,
)
def clipped_gradient(graph: Graph) -> Prescription | str:
    """The gradient clipped where a step would move the weights by 1 %.

    What it changes: the length of the gradient before the step, where it exceeds 1 % of the weights' norm over the learning rate.

    When not to: with adaptive optimizers, whose step does not follow the gradient's length.
    """
    if adaptive(graph.run):
        return "the optimizer's step does not follow the gradient's length"
    moved = [
        (parameter.learning_rate, reading.weight.norm)
        for parameter, reading in zip(graph.run.parameters, graph.run.steps[graph.step].parameters, strict=True)
        if parameter.trainable and parameter.learning_rate
    ]
    if not moved:
        return "no optimizer with a learning rate was given"
    limit = 0.01 * math.hypot(*(norm for _, norm in moved)) / max(rate for rate, _ in moved)
    if not math.isfinite(limit) or limit <= 0.0:
        return "the weights have no finite size"
    return Prescription(
        clip=limit, why=f"clip at {limit:.3g}: no step moves the weights by more than 1 % (Pascanu et al. 2013)"
    )
