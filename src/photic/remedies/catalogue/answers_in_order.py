"""Answers in the order of their examples."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

MOST = 0.5  # of the answers stand in another's place


@remedy(treats=("class-prior-only", "mixed-examples"), changes="function", sources=("paszke2017",), rank=1)
def answers_in_order(graph: Graph) -> Prescription | str:
    """The model's answers put back into the order of its rows, where its forward takes these in another one.

    What it changes: the places of the answers, not the answers.

    When not to: where the model gives the order as well, and the loss uses it.
    """
    if (graph.run.moved_answers or 0.0) < MOST:
        return "every answer comes in the place of its example"
    return Prescription(
        in_order=True, why="rows are sorted in the forward, and the targets are not: put the answers back"
    )
