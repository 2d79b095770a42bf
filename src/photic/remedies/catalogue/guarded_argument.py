"""Roots, logarithms and exponentials kept away from where they have no finite value or slope."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import non_finite
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

# Largest exponent whose result, squared once more in backward, is still finite: half the logarithm of the largest number.
_LARGEST = {"float16": 5.5, "bfloat16": 44.0, "float32": 44.0, "float64": 354.0}
_SMALLEST = {"float16": 1e-4, "bfloat16": 1e-6, "float32": 1e-7, "float64": 1e-12}


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=0)
def guarded_argument(graph: Graph) -> Prescription | str:
    """The argument of a root, a logarithm or an exponential kept in its safe range.

    What it changes: the argument is clamped from below (root, logarithm) or from above (exponential); inside the range
    nothing changes, outside it no gradient passes.

    When not to: where the values outside are the common ones; then the formula is to be changed.
    """
    found = non_finite(graph)
    if found is None or not found.sites:
        return "no operation makes a number that is not finite"
    site = graph.run.site(found.sites[0])
    low, high = _SMALLEST.get(site.dtype, 1e-7), _LARGEST.get(site.dtype, 44.0)
    ranges: dict[str, tuple[float | None, float | None]] = {
        "sqrt": (low, None),
        "rsqrt": (low, None),
        "log": (low, None),
        "log2": (low, None),
        "log10": (low, None),
        "log1p": (low - 1.0, None),
        "exp": (None, high),
        "expm1": (None, high),
    }
    if site.operation not in ranges:
        return f"`{site.operation}` has no range to keep to"
    same = [s for s in graph.run.sites if s.operation == site.operation and s.phase == site.phase]
    limits = ranges[site.operation]
    said = f"at least {limits[0]:g}" if limits[0] is not None else f"at most {limits[1]:g}"
    return Prescription(
        guards={s.name: limits for s in same}, why=f"{site.operation} is finite, and so is its slope, for {said}"
    )
