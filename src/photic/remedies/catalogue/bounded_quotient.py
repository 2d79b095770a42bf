"""Divisors kept away from 0 by their own size."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

SHARE = 1.0  # of the root mean square: no quotient is larger than what a typical divisor makes of it
_DIVISIONS = ("div", "true_divide", "reciprocal")


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=1)
def bounded_quotient(graph: Graph) -> Prescription | str:
    """What is divided by is kept away from 0 by its root mean square, with its sign.

    What it changes: quotients by the smallest divisors: with a floor at the edge of rounding a single one of them would be the whole
    loss.

    When not to: where 0 comes by rounding alone, or small divisors are the point; then a small floor does (`guarded-argument`).
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    if site.operation not in _DIVISIONS:
        return f"`{site.operation}` divides by nothing"
    same = calls_like(graph, site)
    return Prescription(
        quotients=dict.fromkeys(same, SHARE),
        why="what is divided by is 0 at places: let none be smaller than the typical one",
    )
