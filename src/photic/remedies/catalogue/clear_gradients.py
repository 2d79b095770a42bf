"""Gradients cleared after each step."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("never-zeroed-gradients",), changes="training", sources=("paszke2017",), rank=1)
def clear_gradients(graph: Graph) -> Prescription | str:
    """The gradients cleared after each step.

    What it changes: nothing but what is left of the last step.

    When not to: where gradients are accumulated over several batches on purpose.
    """
    return Prescription(zeroed=True, why="backward adds to what the last step left; clear it first")
