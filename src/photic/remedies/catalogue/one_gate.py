"""A softmax over a single score made a sigmoid."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.softmaxes import length
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("saturated-attention", "idle-layer"), changes="function", sources=("shazeer2017",), rank=1)
def one_gate(graph: Graph) -> Prescription | str:
    """A sigmoid in the place of a softmax over one score, which is 1 whatever the score is: the gate of a chosen expert moves again.

    What it changes: the share lies between 0 and 1 and follows its score.

    When not to: where other scores are to compete with it: then take the softmax before the choice.
    """
    single = [
        s.name
        for s in graph.run.sites
        if s.operation == "softmax" and s.phase == "model" and length(graph, s.order) == 1
    ]
    if not single:
        return "no softmax goes over a single score"
    return Prescription(
        activations=dict.fromkeys(single, "sigmoid"), why="a softmax of one score is 1, whatever the score is"
    )
