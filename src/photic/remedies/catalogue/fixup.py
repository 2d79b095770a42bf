"""Residual branches that start at zero and grow slowly (Fixup)."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import residual_branches
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("exploding-gradient", "weights-too-large", "missing-normalisation", "diverging"),
    changes="weights",
    sources=("zhang2019",),
    rank=3,
)
def fixup(graph: Graph) -> Prescription | str:
    """Residual branches that start at zero and grow slowly (Fixup).

    What it changes: the weights on residual branches.

    When not to: with normalisation inside the branches.
    """
    if not residual_branches(graph):
        return "there is no residual branch"
    return Prescription(scheme="fixup", why="Residual branches that start at zero and grow slowly (Fixup)")
