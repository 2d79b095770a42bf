"""Rows that no alignment fits left out of a CTC loss."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("graves2006",), rank=0)
def unaligned_rows(graph: Graph) -> Prescription | str:
    """`zero_infinity=True`: a row with more letters than frames counts 0 in a CTC loss.

    What it changes: such rows teach nothing; all others stay.

    When not to: where most rows have too few frames: then a smaller stride is the cure.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    if site.operation != "ctc_loss":
        return f"`{site.operation}` is no CTC loss"
    return Prescription(
        unaligned=(site.name,), why="rows with fewer frames than letters have no alignment: they count 0"
    )
