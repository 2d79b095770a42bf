"""A softmax that bears a row in which everything is masked."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("vaswani2017attention",), rank=0)
def masked_rows(graph: Graph) -> Prescription | str:
    """Zeros from a softmax whose scores are all minus infinity.

    What it changes: a row in which every score is masked gives zeros in place of nan; all other rows stay.

    When not to: where no row may be empty; then the mask is wrong.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    if site.operation != "softmax":
        return f"`{site.operation}` is no softmax"
    same = tuple(s.name for s in graph.run.sites if s.operation == "softmax" and s.phase == "model")
    return Prescription(masked_rows=same, why="a row without any score that counts gives zeros, not nan")
