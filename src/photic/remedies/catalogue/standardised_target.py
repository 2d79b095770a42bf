"""Targets with mean 0 and deviation 1."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=(
        "unscaled-target",
        "diverging",
        "non-finite",
        "exploding-gradient",
        "learning-rate-too-large",
        "stalled-training",
        "dead-units",
    ),
    changes="function",
    sources=("lecun1998",),
    rank=2,
)
def standardised_target(graph: Graph) -> Prescription | str:
    """The target with mean 0 and deviation 1 inside the model.

    What it changes: the output is brought to the units of the target, and a squared error is differentiated in units of its variance.

    When not to: with classes, or a target whose zero means something.
    """
    for site in graph.run.sites:
        given = graph.reading(site.order).given
        if (
            site.phase == "loss"
            and site.operation in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sub")
            and given
        ):
            if given.rms > 3.0:
                return Prescription(standardised_target=True, why="the target in units of its deviation")
            return "the target is of unit size already"
    return "no target is compared by a distance"
