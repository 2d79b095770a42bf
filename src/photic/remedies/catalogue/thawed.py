"""Frozen layers set free."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.frozen_layers import unlearned_parameters
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("frozen-layers",), changes="training", sources=("zhang2022",), rank=1)
def thawed(graph: Graph) -> Prescription | str:
    """What is frozen is trained: it requires a gradient, and the optimizer moves it at the rate of the others.

    Where something was learned in some of the frozen layers, those stay as they are.

    What it changes: `requires_grad`, and what the optimizer holds.

    When not to: where the layers were trained before and are frozen on purpose.
    """
    names = unlearned_parameters(graph)
    if not names:
        return "no layer is frozen"
    return Prescription(thawed=tuple(names), why="nothing was learned in these layers: let them learn")
