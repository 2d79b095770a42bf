"""Parameters that nothing uses, left out of the optimizer."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.held_still import held_still
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="training", sources=("paszke2017",), rank=1)
def unused_parameters(graph: Graph) -> Prescription | str:
    """Where steps pass over layers that have a gradient, the optimizer is not given the parameters that have none.

    What it changes: an optimizer whose loop ends at the first parameter without a gradient comes to all that follow it.

    When not to: where a parameter without a gradient gets one in a later stage of the training.
    """
    held = held_still(graph)
    if held is None or held.how != "passed over":
        return "the steps pass over no layer that has a gradient"
    first, last = graph.run.steps[0].parameters, graph.run.steps[-1].parameters
    unused = [
        parameter.name
        for parameter, early, late in zip(graph.run.parameters, first, last, strict=True)
        if parameter.owned is True and early.gradient is None and late.gradient is None and "<" not in parameter.name
    ]
    if not unused:
        return "the optimizer holds no parameter without a gradient"
    return Prescription(
        unheld=tuple(unused), why="the optimizer's loop ends where there is no gradient: give it only what has one"
    )
