"""A true division in place of one that rounds down."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import QUOTIENTS, SAME, one_for_all
from photic.diagnosis.silenced import nothing_made
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only", "idle-layer"), changes="function", sources=("higham2002",), rank=0)
def true_division(graph: Graph) -> Prescription | str:
    """`x / y` in place of `x // y` where the whole quotient is the same for all examples, or 0 everywhere.

    What it changes: quotients keep what lies between whole numbers; those that differ between the examples stay whole.

    When not to: where the whole number is what is meant, a row or a bucket; then the divisor is too large.
    """
    found = one_for_all(graph)
    places = [one.site for one in nothing_made(graph)] if found is None else [found.site]
    if not any(graph.site(place).operation in QUOTIENTS for place in places):
        return "no whole quotient makes all examples one"
    same = [
        site.name
        for site in graph.run.sites
        if site.operation in QUOTIENTS
        and ((spread := graph.reading(site.order).spread) is None or spread.examples < SAME)
    ]
    return Prescription(divided=tuple(same), why="// rounds all to one number: divide with /")
