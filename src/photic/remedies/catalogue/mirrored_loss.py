"""-log p in place of log(1 - p)."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("loss-saturation",), changes="function", sources=("goodfellow2014",), rank=1)
def mirrored_loss(graph: Graph) -> Prescription | str:
    """-log p in place of log(1 - p): the non-saturating loss of a generator.

    What it changes: the loss has the same fixed point, and its slope is largest where p is near 0, not smallest.

    When not to: for the discriminator, whose log(1 - p) is right.
    """
    for site in graph.run.sites:
        if not site.operation.startswith("log") or site.operation.startswith("log_"):
            continue
        for source, _ in graph.feeders.get(site.order, []):
            if source >= 0 and graph.site(source).operation in ("rsub", "sub") and _squashed(graph, source):
                return Prescription(
                    mirrored=((graph.site(source).name, site.name),),
                    why="-log p has its slope where the discriminator is sure (Goodfellow et al. 2014)",
                )
    return "the loss has no logarithm of 1 - p with a sigmoid for p"


def _squashed(graph: Graph, index: int) -> bool:
    return any(s >= 0 and graph.site(s).operation == "sigmoid" for s, _ in graph.feeders.get(index, []))
