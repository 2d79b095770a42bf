"""Shares that keep their size."""

from __future__ import annotations

from photic.diagnosis.by_itself import divided_by_itself
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("fedus2022", "jiang2024"), rank=0)
def kept_shares(graph: Graph) -> Prescription | str:
    """The division left out of numbers by a sum over each alone.

    What it changes: what was 1 for all is the share itself, with a gradient; the signal above it shrinks by that share.

    When not to: where two or more shares are kept: their sum to 1 is meant, and has a slope.
    """
    found = divided_by_itself(graph)
    if found is None:
        return "no number is divided by itself"
    return Prescription(
        removed=(graph.site(found.site).name,),
        why="a share divided by itself is 1 and has no slope: leave the division out",
    )
