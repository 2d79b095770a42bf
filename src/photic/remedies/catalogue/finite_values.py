"""Results that are no numbers count 0, infinite ones as the nearest that is finite, and infinite slopes 0."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_LOGARITHMS = {"log", "log2", "log10", "log1p", "logit", "xlogy"}


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=1)
def finite_values(graph: Graph) -> Prescription | str:
    """0 for a result or a slope that is no number, and the nearest finite for an infinite result, at the operation that makes the first one.

    What it changes: 0 / 0, and what has an infinite slope, adds nothing; an infinite number becomes the largest of its kind; all
    else stays to the bit.

    When not to: at a logarithm, of which what lies near 0 is very low, and to call it less would hide an answer that is wrong: keep its
    argument above 0. Where such values are common, or come from an overflow: then the formula or the range of numbers is to be changed.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    if site.operation in _LOGARITHMS:
        return "a logarithm of 0 has no value near it: its argument is to be kept above 0"
    same = calls_like(graph, site)
    return Prescription(
        finite=same,
        why=f"{site.operation} has no finite value or slope there: 0 in their place, for infinity the nearest",
    )
