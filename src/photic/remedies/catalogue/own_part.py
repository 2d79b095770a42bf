"""What was put beside others, read as it has become."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.unheard import dropped_results
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_JOINS = ("cat", "concat", "concatenate")


@remedy(treats=("idle-layer",), changes="function", sources=("dosovitskiy2021", "paszke2017"), rank=1)
def own_part(graph: Graph) -> Prescription | str:
    """What was put beside others, and is read as it was before, is read as what dropped layers have made of it.

    What it changes: who takes the part (a class token) after the layers is given its place in their result, in place of the part as it
    was put in.

    When not to: where the layers were run for the log alone.
    """
    found: list[tuple[str, str, str]] = []
    for one in dropped_results(graph):
        below = graph.ancestors([one.end])
        shape = graph.site(one.end).shape
        joins = [i for i in sorted(below) if graph.site(i).operation in _JOINS and graph.site(i).shape == shape]
        for join in joins:
            takers = [taker for part in _parts(graph, join) for taker in _later(graph, part, one.end)]
            found += [(graph.site(join).name, graph.site(one.end).name, graph.site(taker).name) for taker in takers]
    if not found:
        return "no part of what dropped layers were given is read after them"
    return Prescription(own_parts=tuple(found), why="read the part as the layers have made it, not as it was put in")


def _parts(graph: Graph, join: int) -> set[int]:
    """Return what is put side by side; of parameters, the sites that took them before."""
    sources = {source for source, _ in graph.feeders.get(join, []) if source >= 0}
    taken = {place for p, _ in graph.parameters.get(join, []) for place in p.sites if place < join}
    return sources | taken


def _later(graph: Graph, part: int, end: int) -> list[int]:
    """Return what takes a part after the end, and passes a gradient on."""
    return [i for i in graph.consumers.get(part, []) if i > end and graph.gradient_norm(i) is not None]
