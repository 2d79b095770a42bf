"""A quiet branch and a loud stream brought to the same size."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.idle_layer import unequal_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("zhang2019", "wang2022deepnet"), rank=1)
def balanced_sum(graph: Graph) -> Prescription | str:
    """Where a branch is not heard beside a stream, the one that is farther from unit size is brought to the other's.

    What it changes: one argument of the sum, by a factor measured on a batch. In a chain of sums a stream is scaled once, at
    its first.

    When not to: where the branch starts small on purpose and grows (ReZero, LayerScale).
    """
    balance: dict[str, tuple[str, float]] = {}
    louder: float | None = None
    for found in unequal_sums(graph):
        if not found.layers:
            continue
        if abs_log(found.quiet) >= abs_log(found.loud):
            balance[graph.site(found.site).name] = (graph.site(found.branch).name, found.loud / found.quiet)
        elif louder is None:  # the stream comes first: what follows it is heard then as well
            louder = found.loud
            balance[graph.site(found.site).name] = (graph.site(found.way).name, found.quiet / found.loud)
    if not balance:
        return "no trained branch is quiet beside a stream"
    return Prescription(balance=balance, why="branch and stream of one size: both are heard in the output")


def abs_log(size: float) -> float:
    """Return how many orders of magnitude a size is away from 1."""
    return abs(math.log10(max(size, 1e-300)))
