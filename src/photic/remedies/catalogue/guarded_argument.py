"""Roots, logarithms, exponentials, angles and quotients kept away from where they have no finite value or slope."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at, shared_below_zero
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

# Largest exponent whose result, squared once more in backward, is still finite: half the logarithm of the largest number.
_LARGEST = {"float16": 5.5, "bfloat16": 44.0, "float32": 44.0, "float64": 354.0}
_DIVISIONS = ("div", "true_divide", "reciprocal")
_SMALLEST = {"float16": 1e-4, "bfloat16": 1e-6, "float32": 1e-7, "float64": 1e-12}


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=0)
def guarded_argument(graph: Graph) -> Prescription | str:
    """The argument of a root, a logarithm, an exponential, an angle or a division kept in its safe range.

    What it changes: the argument is clamped from below (root, power below 1, logarithm), from above (exponential) or from both sides (arc sine
    and cosine, logit), and what is divided by is kept away from 0; inside the range nothing changes, outside it no gradient passes.

    When not to: where the values outside are the common ones; then the formula is to be changed.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    if shared_below_zero(graph, site):
        return "other operations take the same, and are to be given it as well (`positive-scale`)"
    low, high = _SMALLEST.get(site.dtype, 1e-7), _LARGEST.get(site.dtype, 44.0)
    ranges: dict[str, tuple[float | None, float | None]] = {
        "sqrt": (low, None),
        "rsqrt": (low, None),
        "log": (low, None),
        "log2": (low, None),
        "log10": (low, None),
        "log1p": (low - 1.0, None),
        "logit": (low, 1.0 - low),
        "exp": (None, high),
        "expm1": (None, high),
        **dict.fromkeys(("acos", "arccos", "asin", "arcsin", "atanh", "arctanh"), (low - 1.0, 1.0 - low)),
    }
    power = site.settings.get("exponent")
    if site.operation == "pow" and isinstance(power, (int, float)) and power < 1.0 and power != 0.0:
        ranges["pow"] = (low, None)  # a root, or one over a power
    same = [s for s in graph.run.sites if s.operation == site.operation and s.phase == site.phase]
    if site.operation in _DIVISIONS:
        return Prescription(
            denominators={s.name: low for s in same},
            why=f"a quotient is finite where what is below is at least {low:g} away from 0",
        )
    if site.operation not in ranges:
        return f"`{site.operation}` has no range to keep to"
    limits = ranges[site.operation]
    said = " and ".join(f"at {w} {v:.7g}" for w, v in zip(("least", "most"), limits, strict=True) if v is not None)
    return Prescription(
        guards={s.name: limits for s in same}, why=f"{site.operation} is finite, and so is its slope, for {said}"
    )
