"""The optimizer gets what it has to move."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("unowned-parameters",), changes="training", sources=("paszke2017",), rank=1)
def own_parameters(graph: Graph) -> Prescription | str:
    """The optimizer holds every trainable parameter of the model.

    What it changes: what the optimizer holds.

    When not to: where a part is frozen on purpose; say so by `requires_grad_(False)`.
    """
    if not any(parameter.trainable and parameter.owned is False for parameter in graph.run.parameters):
        return "the optimizer holds every trainable parameter"
    return Prescription(owned=True, why="the optimizer moves only what it holds")
