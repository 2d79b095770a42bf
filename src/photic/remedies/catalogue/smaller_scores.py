"""Attention scores of unit size."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.saturated_attention import saturated_attention
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("saturated-attention",), changes="function", sources=("vaswani2017attention", "zhai2023"), rank=1)
def smaller_scores(graph: Graph) -> Prescription | str:
    """Attention scores divided to a deviation of about 1.

    What it changes: the scores before the softmax, by the measured deviation.

    When not to: where sharp attention has been learned.
    """
    found = saturated_attention(graph)
    if found is None:
        return "no attention is saturated"
    factors: dict[str, float] = {}
    for name in found.sites:
        facts = graph.run.reading(name, graph.step).shares
        if graph.run.site(name).operation != "softmax" or facts is None:
            return "the scores are hidden inside a fused attention; give it scale="
        factors[name] = 1.0 / facts.deviation
    return Prescription(factors=factors, why="scores of unit deviation keep the softmax's slope (Vaswani et al. 2017)")
