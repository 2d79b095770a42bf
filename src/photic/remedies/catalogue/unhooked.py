"""Hooks taken off weights of whose gradient they make 0."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.held_still import held_still
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer", "stalled-training"), changes="training", sources=("paszke2017",), rank=1)
def unhooked(graph: Graph) -> Prescription | str:
    """Weights whose hooks make 0 of their whole gradient, without these hooks.

    What it changes: the optimizer gets the gradient as it comes.

    When not to: where the hooks keep layers as they are on purpose.
    """
    held = held_still(graph)
    if held is None or held.how != "hooked":
        return "no hook makes 0 of the gradient of a matrix"
    return Prescription(
        unhooked=held.parameters, why="hooks make 0 of the gradient: take them off, or mend their factor"
    )
