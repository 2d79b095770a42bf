"""Smoothed: rows that are mixed again and again by one line, with no weight between, until all lie on one line."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import lines


@dataclass(frozen=True)
class Smoothed:
    """The calls of the line, in order, and how much their rows differ at the first and at the last, in words of a unit.

    Directions where the rows come to lie on one line, with lengths of their own; the share of the mean square where they become one.
    """

    hops: tuple[int, ...]
    first: float
    last: float
    unit: str


def smoothed(
    graph: Graph, *, fewest: int = 8, apart: float = 2.0, line: float = 1.2, alike: float = 1e-4
) -> Smoothed | None:
    """Return a chain of `fewest` hops or more of which only the last is read, and in which the rows become alike.

    The directions fall from `apart` to `line`, or what differs from a hundred times `alike` to less than that; at the first reading and
    at the last. Each hop averages over neighbours, and what differs beside the slowest direction fades from hop to hop (li2018;
    oono2020); what reads earlier hops as well still sees it.
    """
    for hops in lines(graph):
        if graph.site(hops[0]).kind != "other" or len(hops) < fewest:
            continue
        if not all(_handed_on(graph, before, after) for before, after in pairwise(hops)):
            continue
        around = graph.descendants_among([hops[0]], {site.order for site in graph.run.sites} - {hops[-1]})
        if around & graph.descendants([hops[-1]]) or any(index > hops[-1] for index in around):
            continue
        for read, unit, begins, ends in (
            (_directions, "directions", apart, line),
            (_share, "share", 100.0 * alike, alike),
            (_among_positions, "share", 100.0 * alike, alike),
        ):
            known = [(read(each, hops[0]), read(each, hops[-1])) for each in (graph.first, graph.last)]
            if all(begin is not None and end is not None and begin >= begins and end < ends for begin, end in known):
                return Smoothed(tuple(hops), known[0][0] or 0.0, known[0][1] or 0.0, unit)
    return None


def _handed_on(graph: Graph, before: int, after: int) -> bool:
    """Whether a call reaches the next with no weight of a layer between."""
    between = graph.descendants([before]) & (graph.ancestors([after]) | {after})
    return after in between and not any(graph.site(index).kind == "weight" for index in between | {before})


def _directions(graph: Graph, index: int) -> float | None:
    facts = graph.reading(index).spread
    return None if facts is None else facts.directions


def _share(graph: Graph, index: int) -> float | None:
    facts = graph.reading(index).spread
    return None if facts is None else facts.examples


def _among_positions(graph: Graph, index: int) -> float | None:
    """Of several graphs of as many nodes: what differs between the nodes of one."""
    facts = graph.reading(index).spread
    return None if facts is None or len(graph.site(index).shape) != 3 else facts.tokens
