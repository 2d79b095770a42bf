"""Links followed the other way."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.told_nothing import learned
from photic.records.sites import INPUT
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_PRODUCTS = ("matmul", "bmm", "mm")


@remedy(treats=("stalled-training",), changes="function", sources=("gilmer2017",), rank=2)
def turned_links(graph: Graph) -> Prescription | str:
    """The transpose of a square matrix of the batch in products with a signal: messages go along the links, not against them.

    What it changes: who hears whom; nothing where the matrix is symmetric.

    When not to: where the matrix is a distance or a kernel, which is the same both ways.
    """
    found: list[str] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if site.operation not in _PRODUCTS or site.phase != "model" or len(sources) != 2 or len(site.shape) < 2:
            continue
        given = [source == INPUT or not learned(graph, source) for source in sources]
        square = sources[0] < 0 or graph.site(sources[0]).shape[-1:] == graph.site(sources[0]).shape[-2:-1]
        if given == [True, False] and square and graph.site(sources[1]).shape[-2:-1] == site.shape[-2:-1]:
            found.append(site.name)
    if not found:
        return "no square matrix of the batch is multiplied with a signal"
    return Prescription(turned_links=tuple(found), why="messages along the links: the transpose of the matrix")
