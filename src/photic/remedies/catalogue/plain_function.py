"""An autograd function differentiated through what it computes."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.hand_written import backward_words
from photic.diagnosis.handed_none import silent_way
from photic.diagnosis.loops import own_backwards
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

GROWS = 1e3  # as for the rule: so many times what it got


@remedy(
    treats=(
        "severed-gradient",
        "exploding-in-time",
        "exploding-gradient",
        "vanishing-gradient",
        "shattered-gradient",
        "stalled-training",
        "non-finite",
    ),
    changes="function",
    sources=("paszke2017", "pascanu2013"),
    rank=0,
)
def plain_function(graph: Graph) -> Prescription | str:
    """What a custom autograd function computes is differentiated by torch, in place of its own backward.

    What it changes: no value; the gradient is that of the operations in its forward, and these keep what they need for it. It is prescribed where
    nothing comes back, where the gradient grows from step to step, and where it was measured not to be the derivative.

    When not to: where the forward is written without torch's operations, or the backward is another on purpose (a straight-through
    estimator, a reversed gradient).
    """
    if loud := own_backwards(graph, GROWS):
        name = graph.site(loud[0][0]).operation
        return Prescription(
            differentiated=(name,), why=f"the backward of {name} makes the gradient grow from step to step"
        )
    way = silent_way(graph)
    if (way is None or way.by_place) and (wrong := graph.run.backwards):
        return Prescription(differentiated=tuple(one.name for one in wrong), certain=True, why=backward_words(graph))
    if way is None or way.by_place:
        return "no autograd function passes nothing back, or another gradient than the derivative of its forward"
    name = graph.site(way.taker).operation
    return Prescription(differentiated=(name,), why=f"the backward of {name} returns None for what it takes")
