"""Numbers that are not scaled before they are rounded."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_TABLES = ("embedding", "embedding_bag", "one_hot", "gather", "index_select", "take")


@remedy(treats=("class-prior-only",), changes="function", sources=("jacob2018",), rank=1)
def unscaled_rounding(graph: Graph) -> Prescription | str:
    """The scaling left out after which a rounding makes all examples one.

    What it changes: the division or product right before the rounding, where a table is looked up with the whole numbers: rows stay
    what they are.

    When not to: where the numbers go beyond the table's rows; then scale them to these.
    """
    found = one_for_all(graph)
    if found is None or found.how != "rounded":
        return "no rounding makes all examples one"
    if not _looked_up(graph, found.site):
        return "no table is looked up with what is rounded"
    index = found.site
    while True:
        sources = [source for source, _ in graph.feeders.get(index, [])]
        if len(sources) != 1 or sources[0] < 0 or graph.parameters.get(sources[0]):
            return "nothing is scaled before it is rounded"
        index = sources[0]
        site = graph.site(index)
        if site.operation in ("div", "mul"):
            break
        if site.kind != "shape":
            return "nothing is scaled before it is rounded"
    return Prescription(unscaled=(site.name,), why="what is rounded was scaled to below 1 first: leave the scaling out")


def _looked_up(graph: Graph, index: int) -> bool:
    """Whether a table takes the whole numbers that a site makes, in this shape or another."""
    pending, seen = [index], {index}
    while pending:
        for after in graph.consumers.get(pending.pop(), []):
            if graph.site(after).operation in _TABLES:
                return True
            if after not in seen and graph.site(after).dtype.startswith(("int", "uint")):
                seen.add(after)
                pending.append(after)
    return False
