"""Attention scores of unit size."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.saturated_attention import become_flat, flat_softmaxes
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("saturated-attention",), changes="function", sources=("vaswani2017attention", "zhai2023"), rank=1)
def smaller_scores(graph: Graph) -> Prescription | str:
    """Attention scores divided to a deviation of about 1.

    What it changes: the scores before the softmax, by the deviation that was measured before the steps.

    When not to: where sharp attention has been learned.
    """
    found = flat_softmaxes(graph) or become_flat(graph)
    if not found:
        return "no attention is saturated"
    factors: dict[str, float] = {}
    for site, facts in ((graph.site(index), graph.reading(index).shares) for index in found):
        if site.operation != "softmax" or facts is None or not facts.deviation > 0.0:
            return "the scores are hidden inside a fused attention; give it scale="
        factors[site.name] = 1.0 / facts.deviation
    return Prescription(factors=factors, why="scores of unit deviation keep the softmax's slope (Vaswani et al. 2017)")
