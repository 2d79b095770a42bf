"""A softmax over the axis of what is shared out."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.saturated_attention import saturated_attention
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("saturated-attention",), changes="function", sources=("vaswani2017attention",), rank=0)
def softmax_axis(graph: Graph) -> Prescription | str:
    """A softmax that runs over an axis of length 1 runs over the axis before it.

    What it changes: `[batch, keys, 1]` is shared out over the keys.

    When not to: where the single entry is meant; then the softmax can go.
    """
    found = saturated_attention(graph)
    if found is None or len(found.sites) != 1 or found.evidence[0].name != "keys that share":
        return "no softmax runs over an axis of length 1"
    site = graph.run.site(found.sites[0])
    axes = [axis for axis in range(1, len(site.shape)) if site.shape[axis] > 1]
    if site.operation != "softmax" or not axes:
        return "there is no other axis to share out over"
    return Prescription(
        axes={site.name: axes[-1]}, why=f"shares over the {site.shape[axes[-1]]} entries of axis {axes[-1]}"
    )
