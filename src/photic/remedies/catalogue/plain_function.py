"""An autograd function differentiated through what it computes."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.handed_none import silent_way
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("paszke2017",), rank=0)
def plain_function(graph: Graph) -> Prescription | str:
    """What a custom autograd function computes is differentiated by torch, in place of its own backward.

    What it changes: no value; the gradient is that of the operations in its forward, and these keep what they need for it.

    When not to: where the forward is written without torch's operations, or the backward is another on purpose (a straight-through
    estimator, a reversed gradient).
    """
    way = silent_way(graph)
    if way is None or way.by_place:
        return "no autograd function passes nothing back"
    name = graph.site(way.taker).operation
    return Prescription(differentiated=(name,), why=f"the backward of {name} returns None for what it takes")
