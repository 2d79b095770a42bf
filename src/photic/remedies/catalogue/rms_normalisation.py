"""Root-mean-square normalisation before every hidden activation."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import normalisable
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("exploding-gradient", "missing-normalisation", "weights-too-large"),
    changes="function",
    sources=("zhang2019rms",),
    rank=6,
)
def rms_normalisation(graph: Graph) -> Prescription | str:
    """RMSNorm, without parameters, before every hidden activation; where none is known, before every layer but the first.

    What it changes: what enters the activation gets a root mean square of 1 over its features; its mean stays.

    When not to: behind activations whose mean is not 0 (the sigmoid's 0.5), where the mean is all that is left.
    """
    acting = normalisable(graph)
    if not acting:
        return "there is no hidden activation, and there are no three layers"
    if any(site.kind == "normalisation" and site.phase == "model" for site in graph.run.sites):
        return "the network is normalised already"
    return Prescription(
        normalised=tuple(graph.site(index).name for index in acting),
        normalisation="rms",
        why="RMSNorm keeps the size of what enters the activation at 1 (Zhang & Sennrich 2019)",
    )
