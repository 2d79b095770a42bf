"""The stream: the points that all of the signal passes, and the stretches between two of one shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container

from photic.diagnosis.graph import Graph
from photic.records.sites import INPUT

_BENDS = ("activation", "attention")
_WAIST = 8  # a bottleneck block has a quarter of its ends' width


def passed_by_all(graph: Graph) -> list[int]:
    """Return the sites that every way from the input to the last output goes through, in order of execution.

    They are the dominators of that output (Cooper, Harvey and Kennedy 2001); what is made of parameters alone begins a way too.
    """
    return _dominators(graph, {site.order for site in graph.run.sites})


def passed_by_batch(graph: Graph) -> list[int]:
    """Return the sites that every way from the batch to the last output goes through; what is made of parameters alone is no way."""
    entered = [
        site.order
        for site in graph.run.sites
        if any(source == INPUT for source, _ in graph.feeders.get(site.order, []))
        or (site.kind == "weight" and not graph.feeders.get(site.order))
    ]
    return _dominators(graph, graph.descendants(entered) | set(entered))


def maker(graph: Graph, index: int) -> int:
    """Return the site that made the numbers which a site only moves; itself where it makes some."""
    while (
        graph.site(index).kind == "shape" and len(sources := graph.feeders.get(index, [])) == 1 and sources[0][0] >= 0
    ):
        index = sources[0][0]
    return index


def _dominators(graph: Graph, ways: Container[int]) -> list[int]:
    if not graph.run.outputs:
        return []
    above: dict[int, int] = {INPUT: INPUT}

    def meet(one: int, other: int) -> int:
        while one != other:
            one, other = (above[one], other) if one > other else (one, above[other])
        return one

    for site in graph.run.sites:
        if site.order not in ways:
            continue
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source in above] or [INPUT]
        nearest = sources[0]
        for source in sources[1:]:
            nearest = meet(nearest, source)
        above[site.order] = nearest
    chain: list[int] = []
    index = graph.run.outputs[-1] if graph.run.outputs[-1] in above else INPUT
    while index != INPUT:
        chain.append(index)
        index = above[index]
    return chain[::-1]


def segments(graph: Graph, *, bends: bool = True) -> list[tuple[int, int]]:
    """Return (start, end) of the shortest stretches of the stream, one after the other, that end in the shape in which they began.

    Each holds a weight and, where that is asked for, something that bends the signal; the last output ends none. None passes a waist,
    `_WAIST` times narrower than its ends: a code is what is to come through there, and a way around it would leave it unused.
    """
    chain = passed_by_all(graph)[:-1]
    held = [_kinds(graph, one, other) for one, other in itertools.pairwise(chain)]
    found: list[tuple[int, int]] = []
    start = 0
    while start < len(held):
        end = _end(graph, chain, held, start, bends) if "weight" in held[start] else None
        if end is None:
            start += 1
        else:
            found.append((chain[start], chain[end]))
            start = end
    return found


def _end(graph: Graph, chain: list[int], held: list[set[str]], start: int, bends: bool) -> int | None:
    shape = graph.site(chain[start]).shape
    seen: set[str] = set()
    for end in range(start + 1, len(chain)):
        if _WAIST * math.prod(graph.site(chain[end]).shape) <= math.prod(shape):
            return None
        seen |= held[end - 1]
        if graph.site(chain[end]).shape != shape or "weight" not in seen or (bends and seen.isdisjoint(_BENDS)):
            continue
        while end < len(held) and held[end] <= {"activation", "dropout"} and graph.site(chain[end + 1]).shape == shape:
            end += 1
        return end
    return None


def _kinds(graph: Graph, start: int, end: int) -> set[str]:
    """Return the kinds of the sites between two of the chain, `end` among them; a softmax mixes as an attention does."""
    between, pending = {end}, [end]
    while pending:
        for source, _ in graph.feeders.get(pending.pop(), []):
            if source > start and source not in between:
                between.add(source)
                pending.append(source)
    kinds: set[str] = {graph.site(index).kind for index in between}
    return kinds | {"attention"} if any(graph.reading(index).shares is not None for index in between) else kinds


def chained_sums(graph: Graph, fewest: int = 3) -> list[tuple[int, int]]:
    """Return (sum, what makes its branch) of the longest chain of sums of one shape, each of which adds to the one before.

    Of the two that a sum adds the stream is the one that was there first; the branch is made of it, or beside it. Empty for less
    than `fewest`.
    """
    best: list[tuple[int, int]] = []
    chains: dict[int, list[tuple[int, int]]] = {}  # by last sum
    for site in graph.run.sites:
        sources = sorted(source for source, _ in graph.feeders.get(site.order, []))
        if site.operation not in ("add", "sub") or site.phase != "model" or len(sources) != 2 or sources[0] < 0:
            continue
        if any(graph.site(source).shape != site.shape for source in sources):
            continue
        above = _stream_above(graph, sources[0], chains)
        chains[site.order] = [*chains.get(above, []), (site.order, sources[1])]
        best = max(best, chains[site.order], key=len)
    return best if len(best) >= fewest else []


def _stream_above(graph: Graph, index: int, sums: Container[int]) -> int:
    """Return the last sum above, past what takes one signal and uses no weight; -1 without one."""
    while index not in sums:
        sources = [source for source, _ in graph.feeders.get(index, [])]
        if len(set(sources)) == 0 or min(sources) < 0 or graph.site(index).kind == "weight":
            return -1
        index = min(sources)
    return index
