"""Rows that no alignment fits left out of a CTC loss."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import non_finite
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("graves2006",), rank=0)
def unaligned_rows(graph: Graph) -> Prescription | str:
    """`zero_infinity=True`: a row with more letters than frames counts 0 in a CTC loss.

    What it changes: such rows teach nothing; all others stay.

    When not to: where most rows have too few frames: then a smaller stride is the cure.
    """
    found = non_finite(graph)
    if found is None or not found.sites:
        return "no operation makes a number that is not finite"
    site = graph.run.site(found.sites[0])
    if site.operation != "ctc_loss":
        return f"`{site.operation}` is no CTC loss"
    return Prescription(
        unaligned=(site.name,), why="rows with fewer frames than letters have no alignment: they count 0"
    )
