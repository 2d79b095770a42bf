"""Warm-up of the learning rate."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("post-norm-without-warmup", "learning-rate-too-large", "diverging"),
    changes="training",
    sources=("xiong2020", "huang2020"),
    rank=2,
)
def warm_up(graph: Graph) -> Prescription | str:
    """A warm-up: the learning rate rises over the first steps.

    What it changes: the learning rate of the first fifty steps.

    When not to: where the peak itself is too high.
    """
    if not any(parameter.learning_rate for parameter in graph.run.parameters):
        return "no optimizer with a learning rate was given"
    return Prescription(warmup=50, why="a warm-up: the first steps are taken before the second moments are known")
