"""Divisors kept away from 0 by their own size."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import non_finite
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
    found = non_finite(graph)
    if found is None or not found.sites:
        return "no operation makes a number that is not finite"
    site = graph.run.site(found.sites[0])
    if site.operation not in _DIVISIONS:
        return f"`{site.operation}` divides by nothing"
    same = [s.name for s in graph.run.sites if s.operation == site.operation and s.phase == site.phase]
    return Prescription(
        quotients=dict.fromkeys(same, SHARE),
        why="what is divided by is 0 at places: let none be smaller than the typical one",
    )
