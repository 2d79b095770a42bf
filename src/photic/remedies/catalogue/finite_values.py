"""Results and slopes that are not finite count 0."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=1)
def finite_values(graph: Graph) -> Prescription | str:
    """0 in the place of a result or a slope that is not finite, at the operation that makes the first one.

    What it changes: what divides by 0, and what has an infinite slope, adds nothing; all else stays to the bit.

    When not to: where such values are common, or come from an overflow: then the formula or the range of numbers is to be changed.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    same = calls_like(graph, site)
    return Prescription(finite=same, why=f"{site.operation} has no finite value or slope there: let it count 0")
