"""Residual blocks that start as the identity."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import residual_branches
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("exploding-gradient", "missing-normalisation", "weights-too-large"),
    changes="weights",
    sources=("de2020", "bachlechner2021"),
    rank=4,
)
def skip_init(graph: Graph) -> Prescription | str:
    """The last layer of every residual branch at 0, so that each block starts as the identity (SkipInit, zero gamma).

    What it changes: the last weights of the branches become 0, all others get He's variance.

    When not to: where the branch has a single layer, which then learns alone at first.
    """
    branches = residual_branches(graph)
    if not branches:
        return "there is no residual branch"
    if all(len(branch) < 2 for branch in branches):
        return "the branches have one layer each: at 0 nothing of them would be heard"
    return Prescription(
        scheme="skip_init", why="blocks that start as the identity neither shrink nor grow (De & Smith 2020)"
    )
