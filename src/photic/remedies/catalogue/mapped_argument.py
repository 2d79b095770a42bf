"""The argument of a root, a logarithm or an inverse function mapped into its domain."""

from __future__ import annotations

from typing import Literal

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import POSITIVE
from photic.remedies.origins import COMMON, FINITE, calls_like, not_finite_at, shared_below_zero
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_DOMAINS: dict[str, Literal["positive", "unit"]] = {
    **dict.fromkeys(POSITIVE, "positive"),
    **dict.fromkeys(("acos", "arccos", "asin", "arcsin", "atanh", "arctanh"), "unit"),
}


@remedy(treats=("non-finite",), changes="function", sources=("nix1994",), rank=2)
def mapped_argument(graph: Graph) -> Prescription | str:
    """What enters a logarithm or a root through a softplus, what enters an inverse sine, cosine or hyperbolic tangent through a tanh.

    What it changes: every argument; each lies in the domain, and keeps a slope, where a limit would let none of those outside pass.

    When not to: where few numbers lie outside, or by rounding: then a limit is enough (`guarded-argument`).
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    signal = graph.reading(site.order).signal
    if site.operation not in _DOMAINS:
        return f"`{site.operation}` has no domain to be mapped into"
    if signal is None or signal.nonfinite < COMMON * signal.count:
        return "few arguments lie outside of the domain"
    if shared_below_zero(graph, site):
        return "other operations take the same, and are to be given it as well (`positive-scale`)"
    same = calls_like(graph, site)
    return Prescription(
        mapped=dict.fromkeys(same, _DOMAINS[site.operation]),
        why=f"most of what enters {site.operation} lies outside of its domain: a curve brings all of it inside",
    )
