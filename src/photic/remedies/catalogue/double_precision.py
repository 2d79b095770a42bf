"""Float64 for weights and numbers."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=4)
def double_precision(graph: Graph) -> Prescription | str:
    """Weights and numbers in float64, which ends at 1e308 and 1e-308 where float32 ends at 3e38 and 1e-38.

    What it changes: the type of all weights and of what enters; products of a hundred probabilities stay above 0, and the matrix of a
    kernel stays positive definite.

    When not to: on most GPUs, which are slow in it, and where the numbers go on growing: then compute with logarithms, or normalise on the way.
    """
    if not_finite_at(graph) is None:
        return FINITE
    types = {site.dtype for site in graph.run.sites if site.dtype.startswith(("float", "bfloat"))}
    if types != {"float32"}:
        return f"the numbers are not in float32, but in {', '.join(sorted(types)) or 'none'}"
    return Prescription(precision="float64", why="float64 reaches from 1e-308 to 1e308, float32 from 1e-38 to 3e38")
