"""The loss in larger units."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.optimizers import adaptive
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("frozen-by-epsilon", "gradient-underflow"), changes="training", sources=("kingma2015",), rank=2)
def natural_units(graph: Graph) -> Prescription | str:
    """The loss in units in which its gradient is about 1e-3.

    What it changes: the gradient of the loss, by a power of two; the value that is reported stays.

    When not to: with plain gradient descent, where the factor is a factor on the learning rate.
    """
    if not adaptive(graph.run):
        return "the optimizer's step follows the gradient's size; change its learning rate instead"
    sizes = sorted(
        reading.gradient.rms
        for reading in graph.run.steps[graph.step].parameters
        if reading.gradient is not None and reading.gradient.rms > 0.0
    )
    if not sizes:
        return "no parameter got a gradient"
    unit = 2.0 ** round(math.log2(1e-3 / sizes[len(sizes) // 2]))
    return Prescription(gradient_unit=unit, why=f"the loss times {unit:.3g}, so that its gradients are about 1e-3")
