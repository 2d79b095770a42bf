"""T-Fixup for transformers without normalisation."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import residual_branches
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("missing-normalisation", "exploding-gradient", "weights-too-large", "diverging"),
    changes="weights",
    sources=("huang2020",),
    rank=3,
)
def t_fixup(graph: Graph) -> Prescription | str:
    """Value, output and feed-forward weights scaled by 0.67 N^(-1/4) of Xavier's (T-Fixup).

    What it changes: the weights of a transformer's branches, so that its first steps need neither warm-up nor LayerNorm.

    When not to: with normalisation, which undoes the scale.
    """
    model = [site for site in graph.run.sites if site.phase == "model"]
    if not any("softmax" in site.operation or "attention" in site.operation for site in model):
        return "there is no attention"
    if any(site.kind == "normalisation" for site in model):
        return "the network is normalised already"
    if len(residual_branches(graph)) < 2:
        return "there are no two residual branches"
    return Prescription(
        scheme="t_fixup", why="T-Fixup bounds the first updates of a transformer without norm (Huang et al. 2020)"
    )
