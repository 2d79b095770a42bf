"""A weight decay that does not outrun the loss."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.optimizers import setting
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("stalled-training", "dead-units"), changes="training", sources=("zhang2022",), rank=2)
def less_weight_decay(graph: Graph) -> Prescription | str:
    """A weight decay of 1e-4.

    What it changes: the weight decay of every parameter group.

    When not to: a decay below 0.01 is rarely the cause.
    """
    decay = setting(graph.run, "weight_decay")
    if decay is None or decay < 0.01:
        return "the optimizer's weight decay is small"
    return Prescription(settings={"weight_decay": 1e-4}, why=f"a weight decay of {decay:g} outran the loss")
