"""A summand behind an activation, moved before it."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.untold import constant_under_a_derivative
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("perez2018film",), rank=1)
def moved_in(graph: Graph) -> Prescription | str:
    """What is added behind an activation, and is gone from a derivative that the forward takes, is added before it.

    What it changes: f(x + e) in place of f(x) + e, whose derivative by x says nothing of e.

    When not to: where the derivative is not meant to depend on it.
    """
    idle, found = set(constant_under_a_derivative(graph)), list[tuple[str, str]]()
    for site in graph.run.sites if idle else ():
        if site.operation != "add":
            continue
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        added = [source for source in sources if idle & (graph.ancestors([source]) | {source})]
        bends = [source for source in sources if graph.site(source).kind == "activation" and source not in added]
        if len(added) == len(bends) == 1:
            found.append((graph.site(bends[0]).name, site.name))
    if not found:
        return "no layer that a derivative does not depend on is added behind an activation"
    return Prescription(moved_in=tuple(found), why="f(x + e): the derivative of f(x) + e by x says nothing of e")
