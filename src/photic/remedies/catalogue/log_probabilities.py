"""Logarithms of probabilities into a negative log-likelihood."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("diverging",), changes="function", sources=("bridle1990",), rank=0)
def log_probabilities(graph: Graph) -> Prescription | str:
    """A log_softmax before `nll_loss`, as `cross_entropy` has it.

    What it changes: the loss, which had no lower bound.

    When not to: where the model returns logarithms of probabilities already.
    """
    bare: list[str] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        if site.phase == "loss" and site.operation == "nll_loss" and sources:
            signal = graph.reading(sources[0]).signal
            if (
                graph.site(sources[0]).operation != "log_softmax"
                and signal is not None
                and signal.mean + signal.deviation > 0.0
            ):
                bare.append(site.name)
    if not bare:
        return "no nll_loss takes numbers above 0"
    return Prescription(
        logarithms=tuple(bare), why="cross_entropy takes raw scores, nll_loss logarithms of probabilities"
    )
