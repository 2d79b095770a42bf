"""A learned factor that an activation holds at 0, started at 1."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.silenced import multiplied_by_nothing
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="weights", sources=("bachlechner2021", "maas2013"), rank=1)
def open_gate(graph: Graph) -> Prescription | str:
    """The trained factors of a product that gives 0 and lets no gradient through, started at 1.

    What it changes: the initial values of gates that a ReLU or a clamp cuts off at 0.

    When not to: where a gate at 0 is passed by a gradient: it opens by itself.
    """
    shut = {one.site for one in multiplied_by_nothing(graph)}
    gates = [p.name for p in graph.run.parameters if p.trainable and len(p.shape) <= 1 and shut & set(p.sites)]
    if not gates:
        return "no trained factor stands in a product that gives 0"
    return Prescription(
        constants=dict.fromkeys(gates, 1.0),
        why="a gate that starts where its activation is flat never opens: start it at 1",
    )
