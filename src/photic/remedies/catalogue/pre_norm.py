"""Normalisation before the branch in place of after the sum."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.post_norm import normalised_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("post-norm-without-warmup", "vanishing-gradient", "rank-collapse", "idle-layer"),
    changes="function",
    sources=("xiong2020",),
    rank=2,
)
def pre_norm(graph: Graph) -> Prescription | str:
    """Pre-norm: each normalisation after a residual sum moves before the branch, and the last sum is normalised once.

    What it changes: the order; the weights of the normalisations stay with them.

    When not to: with trained weights, whose function would change.
    """
    found = normalised_sums(graph)
    if len(found) < 2:
        return "no two residual sums are each followed by a normalisation module"
    return Prescription(
        pre_norm=tuple((one.normalisation, one.entrances) for one in found),
        why="pre-norm: the stream passes the gradient whole (Xiong et al. 2020)",
    )
