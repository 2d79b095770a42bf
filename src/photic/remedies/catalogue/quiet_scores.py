"""Scores that start with unit size."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.loud_factor import loud_factor
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("weights-too-large",), changes="function", sources=("radford2021", "glorot2010"), rank=0)
def quiet_scores(graph: Graph) -> Prescription | str:
    """The factor on the scores divided, so that these start with a root mean square of 1.

    What it changes: the first answers are unsure, and the first loss is near chance.

    When not to: where large scores were learned, in a network that is trained already.
    """
    start = graph.first
    found = loud_factor(start)
    if found is None:
        return "no single number makes the scores ten times as large"
    above = start.descendants([found.site]) | {found.site}
    sizes = [signal.rms for index in start.run.outputs if index in above and (signal := start.reading(index).signal)]
    if not sizes or not max(sizes) > 1.0:
        return "the scores are no larger than 1"
    return Prescription(
        factors={start.site(found.site).name: 1.0 / max(sizes)},
        why=f"scores of unit size: they started at {max(sizes):.3g}",
    )
