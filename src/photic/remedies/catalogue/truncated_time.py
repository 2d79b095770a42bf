"""Truncated back-propagation through time."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

FEWEST = 5


@remedy(treats=("exploding-in-time",), changes="training", sources=("williams1990",), rank=3)
def truncated_time(graph: Graph) -> Prescription | str:
    """Truncated back-propagation: the state carries no gradient further than a quarter of the sequence.

    What it changes: the gradient alone; the state runs on as before.

    When not to: where what is to be learned lies further back than the gradient reaches then.
    """
    lengths = [
        len(times.gradient_norms) for site in graph.run.sites if (times := graph.reading(site.order).times) is not None
    ]
    if not lengths:
        return "there is no fused recurrent layer"
    steps = max(lengths) // 4
    if steps < FEWEST:
        return f"the sequences are only {max(lengths)} steps long"
    return Prescription(
        truncated=steps, why=f"truncated back-propagation: the gradient runs back {steps} steps (Williams & Peng 1990)"
    )
