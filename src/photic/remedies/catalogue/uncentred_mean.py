"""A mean that is not centred away."""

from __future__ import annotations

from photic.diagnosis.centred_away import centred_away
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only", "vanishing-gradient"), changes="function", sources=("ioffe2015", "ba2016"), rank=1)
def uncentred_mean(graph: Graph) -> Prescription | str:
    """The normalisation left out whose result is averaged over what it centred.

    What it changes: the mean is that of the signal as it was before the normalisation.

    When not to: where the scale of single examples must not count; then put an activation between the two.
    """
    below = [graph.site(centring).name for _, centring in centred_away(graph) if centring is not None]
    if not below:
        return "no mean runs over what a normalisation has just centred"
    return Prescription(
        removed=tuple(dict.fromkeys(below)), why="the mean of what was just centred is 0: leave the centring out"
    )
