"""The batch along the first axis of recurrent layers and attentions."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.recurrent import attends_examples, time_first
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("mixed-examples",), changes="function", sources=("karpathy2019",), rank=0)
def batch_first(graph: Graph) -> Prescription | str:
    """Recurrent layers and attentions that take the first axis for the batch and the second for time: `batch_first=True`.

    What it changes: which axis the layer goes along; the weights stay.

    When not to: where what enters has its time along the first axis, as sequences padded that way have.
    """
    modules = [site.module for site in (*time_first(graph), *attends_examples(graph)) if site.module]
    if not modules:
        return "no recurrent layer or attention takes the first axis for time"
    return Prescription(batch_first=tuple(dict.fromkeys(modules)), why="the batch lies along the first axis")
