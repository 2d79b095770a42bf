"""DeepNorm for post-norm transformers."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.initialisers.branches import deepnorm_skip
from photic.remedies.post_norm import normalised_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("post-norm-without-warmup",), changes="function", sources=("wang2022deepnet",), rank=3)
def deepnorm(graph: Graph) -> Prescription | str:
    """DeepNorm: the stream of each residual sum times (2 N)^(1/4), the branches' weights times (8 N)^(-1/4).

    What it changes: one factor in each sum, and the initial weights.

    When not to: with trained weights, or where the sums are not normalised.
    """
    found = normalised_sums(graph)
    if len(found) < 2:
        return "no two residual sums are each followed by a normalisation module"
    factor = deepnorm_skip(max(1, len(found) // 2))
    return Prescription(
        scheme="deepnorm",
        balance={one.sum: (one.stream, factor) for one in found},
        why="DeepNorm bounds the updates of a deep post-norm transformer (Wang et al. 2022)",
    )
