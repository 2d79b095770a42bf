"""Loss scaling for half precision."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("gradient-underflow",), changes="training", sources=("micikevicius2018",), rank=1)
def loss_scaling(graph: Graph) -> Prescription | str:
    """Loss scaling: the backward pass runs 65536 times larger.

    What it changes: the gradient inside the backward pass; it is divided again before the step.

    When not to: with weights in float16 themselves, whose gradient underflows once more when it is divided.
    """
    if graph.run.loss is None:
        return "there is no loss"
    return Prescription(loss_scale=65536.0, why="loss scaling keeps small gradients above the smallest float16")
