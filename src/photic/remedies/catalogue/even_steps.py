"""The weights of a written-out loop, smaller by what one step grows."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import FEWEST, loops
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("exploding-in-time",), changes="weights", sources=("pascanu2013", "saxe2014"), rank=3)
def even_steps(graph: Graph) -> Prescription | str:
    """Every matrix that a loop uses again at each step, divided by the factor by which the gradient grows at a step.

    What it changes: the initial values of these matrices; a step that multiplied the state by them keeps its size.

    When not to: where the state is carried on beside the matrices (a residual stream): there the branch is to be smaller.
    """
    scaled: dict[str, float] = {}
    for loop in loops(graph):
        first, last = loop.times[0], loop.times[-1]
        if not loop.heard or not last > 0.0 or not first > last:
            continue
        growth = (first / last) ** (1.0 / (len(loop.sites) - 1))
        turns = graph.descendants([loop.sites[0]]) | {loop.sites[0]}
        for parameter in graph.run.parameters:
            again = len(turns.intersection(parameter.sites)) >= FEWEST
            if parameter.trainable and len(parameter.shape) > 1 and again and growth > 1.0:
                scaled[parameter.name] = 1.0 / growth
    if not scaled:
        return "no loop is written out whose gradient grows"
    return Prescription(scaled=scaled, why="a step that keeps the size of the state keeps that of its gradient")
