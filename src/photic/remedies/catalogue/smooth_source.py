"""A ReLU that gives 0 where a logarithm, a quotient or a gamma function takes it, made a softplus."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=1)
def smooth_source(graph: Graph) -> Prescription | str:
    """softplus in the place of the ReLU whose 0 has no logarithm and no reciprocal: what it makes is above 0 everywhere.

    What it changes: the numbers near 0, wherever they are taken; far above they stay.

    When not to: where 0 is meant; then the formula that takes it is to be changed.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    found: set[int] = set()
    pending = [site.order]
    while pending:  # down to the next layers
        for source, _ in graph.feeders.get(pending.pop(), []):
            if source >= 0 and source not in found and graph.site(source).kind != "weight":
                found.add(source)
                pending.append(source)
    names = [graph.site(index).name for index in sorted(found) if graph.site(index).operation == "relu"]
    if not names:
        return "no ReLU gives the numbers that are not finite there"
    return Prescription(
        activations=dict.fromkeys(names, "softplus"), why="a ReLU gives 0, which has no logarithm: a softplus does not"
    )
