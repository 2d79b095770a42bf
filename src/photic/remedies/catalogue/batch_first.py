"""Recurrent layers that take the batch from the first axis."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.class_prior_only import turned_axes
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("paszke2017",), rank=1)
def batch_first(graph: Graph) -> Prescription | str:
    """`batch_first=True` in the recurrent layers that take the examples for time steps.

    What it changes: which axis is time; the weights stay.

    When not to: where what enters has time first: then what reads the layer's output is wrong.
    """
    modules = [graph.site(index).module for index in turned_axes(graph)]
    if not all(modules) or not modules:
        return "no recurrent layer takes the examples for time steps"
    return Prescription(
        batch_first=tuple(dict.fromkeys(modules)), why="the examples lie along the first axis: batch_first=True"
    )
