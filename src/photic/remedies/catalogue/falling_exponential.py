"""An exponential that grows without bound made one that cannot rise above 1."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

LARGE = 20.0  # e^20 is half a billion: what is this large is no weight of a sum


@remedy(treats=("non-finite", "exploding-in-time"), changes="function", sources=("orvieto2023",), rank=2)
def falling_exponential(graph: Graph) -> Prescription | str:
    """exp(-softplus(-x)) in place of exp(x): a factor below 1 for every x, as the decay of a state is.

    What it changes: where x is far below 0 nothing; above it the exponential stays below 1, with a slope.

    When not to: where growth is meant (a density, a rate); then the exponent is to be smaller.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    signal = next((r.signal for s, _ in graph.feeders.get(site.order, []) if s >= 0 for r in [graph.reading(s)]), None)
    if site.operation != "exp" or site.phase != "model" or signal is None or not signal.maximum > LARGE:
        return "no exponential of the model overflows"
    return Prescription(
        mapped=dict.fromkeys(calls_like(graph, site), "negative"),
        why="exp(-softplus(-x)) is exp(x) far below 0, and never above 1: a factor of decay",
    )
