"""Steps downhill."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("diverging",), changes="training", sources=("cs231n",), rank=0)
def descend(graph: Graph) -> Prescription | str:
    """Downhill: the optimizer minimises.

    What it changes: the sign of the step, `maximize=False`.

    When not to: where the loss is a score, and more is better.
    """
    turned = [r.against for step in graph.run.steps for r in step.parameters if r.against is not None]
    if not turned or sum(turned) <= 0.5 * len(turned):  # cosines: 1 straight uphill
        return "the optimizer minimises already"
    return Prescription(settings={"maximize": False}, why="the loss is to fall: maximize=False")
