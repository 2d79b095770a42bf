"""A loss without the limit that makes it flat."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.loss_saturation import loss_saturation
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("loss-saturation",), changes="function", sources=("lecun1998",), rank=1)
def unlimited_loss(graph: Graph) -> Prescription | str:
    """The clamp that cuts the loss off above left out.

    What it changes: examples that are far off count, and get a gradient.

    When not to: where the limit keeps outliers from ruling the loss, and most examples lie below it.
    """
    if loss_saturation(graph) is None:
        return "the loss is not saturated"
    clamps = [
        site.name
        for site in graph.run.sites
        if site.phase == "loss"
        and site.operation.startswith("clamp")
        and isinstance(site.settings.get("max"), (int, float))
    ]
    if not clamps:
        return "no limit cuts the loss off"
    return Prescription(removed=tuple(clamps), why="a loss that is cut off is flat beyond the cut: leave the limit out")
