"""Normalisations with an epsilon that is small beside their variance."""

from __future__ import annotations

from photic.diagnosis.epsilons import drowned
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

SHARE = 1e-5  # of what it is added to: torch's own epsilon beside a variance of 1


@remedy(treats=("frozen-by-epsilon",), changes="function", sources=("ioffe2015", "ba2016"), rank=1)
def smaller_epsilon(graph: Graph) -> Prescription | str:
    """An epsilon of 1e-5 times the measured variance in every normalisation that divides by its epsilon.

    What it changes: the epsilon of normalisation layers, and of those written out (`x / (norm + eps)`, `rsqrt(var + eps)`).

    When not to: where the signal is noise of rounding that had better stay small; where the units of the input can be changed
    instead (volts to microvolts), that is the better cure.
    """
    small = drowned(graph)
    if not small:
        return "no normalisation divides by its epsilon"
    return Prescription(
        epsilons={graph.site(one.site).name: SHARE * one.size for one in small},
        why="an epsilon far above the variance makes the normalisation none: 1e-5 of the variance",
    )
