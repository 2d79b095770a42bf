"""A variance, or a deviation, that a layer gives as it comes, made positive."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at, shared_below_zero
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("nix1994",), rank=-1)
def positive_scale(graph: Graph) -> Prescription | str:
    """What enters a logarithm or a root, and other operations as well, goes through a softplus before all of them.

    What it changes: a likelihood log(v) + d^2 / v of a variance v that a layer gives as it comes, often below 0, is that of softplus(v).
    A limit on the logarithm alone would leave a formula that rewards a v below 0.

    When not to: where few numbers lie outside, or by rounding: then a limit is enough (`guarded-argument`).
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    shared = shared_below_zero(graph, site)
    if shared is None:
        return f"nothing else takes what enters {site.operation}, or little of that lies below 0"
    maker = graph.site(graph.feeders[site.order][0][0]).name
    return Prescription(
        shared=(shared,), why=f"what {maker} gives may lie below 0: make it positive for all that take it"
    )
