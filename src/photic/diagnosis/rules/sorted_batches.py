"""Sorted batches: what is asked for lies between the batches, not within them."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns_a_third
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding

SORTED = 0.5  # share of the variance between the batches


@rule(sources=("bengio2012practical",))
def sorted_batches(graph: Graph, training: Training | None, *, between: float = SORTED) -> Finding | None:
    """The batches are sorted by what is asked for: each step pulls the network to the few classes of its batch.

    Signs: at least `between` of the variance of the classes (as vectors of 0 and 1) lies between the batches and not within
    them, where a random order has about none, and the network learns less than a third of what there is to learn.

    Why it matters: a step lowers the loss of its own batch. Where a folder holds one class and the loader does not shuffle, the network
    learns to name the class that it saw last, and forgets the others.

    False alarms: batches of one kind by design (a real and a generated one in turn, a task at a time) look the same; where the network
    learns in spite of them nothing is said.
    """
    share = graph.run.grouped
    if share is None or share < between or training is None or learns_a_third(training):
        return None
    return Finding(
        problem="sorted-batches",
        severity="warning",
        sites=(),
        where="",
        evidence=(
            Evidence("share of the variance of the classes that lies between the batches", share, "share"),
            Evidence("last loss", training.last, "loss"),
        ),
        reason=(
            f"{percent(share)} of what tells the classes apart lies between the batches, and about none would in a random order: they come "
            f"sorted. Each step pulls the network to what its own batch asks for, and the loss stands at {number(training.last)}."
        ),
        advice="Let the loader shuffle (`shuffle=True`), or mix the files before they are cut into batches.",
        confidence=0.9,
        sources=("bengio2012practical",),
    )
