"""A limit on the gradient that a loop hands back from each step to the one before."""

from __future__ import annotations

import statistics

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import chains, loops
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

GREW = 10.0  # times, from the last step to the first: below that there is nothing to limit


@remedy(treats=("exploding-in-time",), changes="training", sources=("pascanu2013",), rank=2)
def limited_in_time(graph: Graph) -> Prescription | str:
    """At every step of a loop the gradient of its state is scaled down to the norm that it has at the last step.

    What it changes: the gradient alone: each step hears of those that follow at most as loudly as the last one hears of the loss. A
    limit on the whole gradient would let the first steps drown the others.

    When not to: where the loop grows on its way up as well: then the factor on its state is to be changed.
    """
    limits: dict[str, float] = {}
    for sites in [*(loop.sites for loop in loops(graph) if loop.heard), *chains(graph)]:
        norms = [graph.gradient_norm(index) or 0.0 for index in sites]
        last = statistics.median(norms[-3:])
        if last > 0.0 and max(norms) > GREW * last:
            limits |= {graph.site(index).name: last for index in sites}
    if not limits:
        return "no loop is written out whose gradient grows on its way back"
    return Prescription(
        limited=limits, why="each step of the loop hands back a gradient no larger than that of the last"
    )
