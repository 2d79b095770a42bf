"""Branches of a stream that are added in smaller parts."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import chained_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("exploding-gradient", "exploding-in-time", "missing-normalisation"),
    changes="function",
    sources=("zhang2019", "de2020"),
    rank=2,
)
def smaller_branches(graph: Graph) -> Prescription | str:
    """Each of the N branches that are added to a stream one after the other is multiplied by 1 / N.

    What it changes: one factor at each sum. A stream that each branch made g times larger grows at most e^(g - 1) times in all: Euler's
    steps of 1 / N through a time of 1.

    When not to: where each sum is normalised, or branches start at 0.
    """
    sums = chained_sums(graph)
    if not sums:
        return "no three sums are added to one stream one after the other"
    factor = 1.0 / len(sums)
    return Prescription(
        balance={graph.site(index).name: (graph.site(branch).name, factor) for index, branch in sums},
        why=f"{len(sums)} branches of 1 / {len(sums)} each: the stream stays of one size",
    )
