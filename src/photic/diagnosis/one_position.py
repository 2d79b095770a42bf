"""One position: answers to several positions that are one answer, and the stretches of the stream in which positions become one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import maker, passed_by_batch

ALIKE = 1e-10  # of the mean square; float32 rounds at 1e-14, and what differs by less than a hundred thousandth teaches nothing
_APART = 1e-3  # positions that differ by more do differ
_TOLD = 1e-6  # examples that differ by more are told apart
_LOST = 1e-3  # what is left of the share that differs, over a stretch that makes the positions alike


@dataclass(frozen=True)
class OnePosition:
    """The lowest site from which on the positions are one, how much they differ at the output, and below at the most."""

    site: int
    share: float
    below: float


def one_position(graph: Graph) -> OnePosition | None:
    """Return where the positions become one; None where an output tells them apart, or none entered unlike, or the examples are one too.

    Both at the first reading and at the last. There is an answer for each position, as many as a layer below tells apart.
    """
    if len(graph.run.steps) < 2 or len(graph.run.outputs) != 1:
        return None
    first, last, end = graph.first, graph.last, maker(graph, graph.run.outputs[0])
    count = positions(graph, end)
    found = [(apart(each, end), each.reading(end).spread) for each in (first, last)]
    if not count or any(share is None or share >= ALIKE for share, _ in found):
        return None
    if any(facts is None or facts.examples < _TOLD for _, facts in found):
        return None
    below = [
        share
        for index in graph.ancestors([end])
        if positions(graph, index) == count and (share := apart(first, index)) is not None and share > _APART
    ]
    chain = [index for index in passed_by_batch(graph) if index <= end and apart(first, index) is not None]
    alike = end
    for index in reversed(chain):
        shares = [apart(each, index) for each in (first, last)]
        if any(share is None or share >= ALIKE for share in shares):
            break
        alike = index
    return OnePosition(alike, max(share or 0.0 for share, _ in found), max(below)) if below else None


def apart(graph: Graph, index: int) -> float | None:
    """Return the share of the mean square that differs between positions: of maps and channels along places, else along the second axis."""
    site, facts = graph.site(index), graph.reading(index).spread
    if facts is None:
        return None
    return facts.places if site.operation.startswith("conv") else facts.tokens


def positions(graph: Graph, index: int) -> int:
    """Return how many positions a site's output has over all examples; 0 where they were not compared."""
    site = graph.site(index)
    if apart(graph, index) is None or not site.shape:
        return 0
    if site.operation.startswith("conv"):
        return site.shape[0] * (site.shape[2] if len(site.shape) == 3 else site.shape[2] * site.shape[3])
    return site.shape[0] * site.shape[1] if len(site.shape) == 3 else site.shape[0]


def losing(graph: Graph) -> list[tuple[int, int]]:
    """Return (what still tells positions apart, the first value of its shape that may not) for each stretch that makes them alike.

    A stretch shows where its beginning tells them apart; those like it, on the same line, begin with what is alike already.
    """
    chain = passed_by_batch(graph)
    measured = [index for index in chain if apart(graph, index) is not None]
    ends: list[tuple[int, int]] = []
    for place, before in enumerate(measured):
        alike = [index for index in measured[place + 1 :] if graph.site(index).shape == graph.site(before).shape]
        after = alike[0] if alike else before
        share, left = apart(graph, before) or 0.0, apart(graph, after) or 0.0
        if share < ALIKE or left > _LOST * share:
            continue
        shape = graph.site(before).shape
        way = [index for index in chain if before < index <= after and graph.site(index).shape == shape]
        bent = [
            index
            for index in way
            if graph.site(index).kind in ("activation", "normalisation") and _from(graph, index) == before
        ]
        start = bent[-1] if bent else before
        moved = _moved(graph, chain, start)
        way = [index for index in way if index > start and index not in moved]
        if way:
            ends.append((start, way[0]))
    like = [(start, end) for first, last in ends for start, end in _like(graph, chain, last) if start != first]
    known = {end for _, end in ends}
    return sorted([*ends, *(pair for pair in like if pair[1] not in known)], key=lambda pair: pair[1])


def _from(graph: Graph, index: int) -> int:
    sources = graph.feeders.get(index, [])
    return sources[0][0] if len(sources) == 1 else -1


def _moved(graph: Graph, chain: list[int], start: int) -> set[int]:
    """Return the sites of the stream that only move what one makes, all of it."""
    moved, size = {start}, math.prod(graph.site(start).shape)
    for index in chain:
        site = graph.site(index)
        if _from(graph, index) in moved and site.kind == "shape" and math.prod(site.shape) == size:
            moved.add(index)
    return moved


def _like(graph: Graph, chain: list[int], end: int) -> list[tuple[int, int]]:
    """Return the other calls of the stream that one line makes in the same way, each with the last value of its shape before it."""
    one, found = graph.site(end), list[tuple[int, int]]()
    for index in chain:
        site = graph.site(index)
        if index == end or site.operation != one.operation or not site.where or site.where != one.where:
            continue
        same = site.module == one.module or site.name.rpartition("#")[2] == one.name.rpartition("#")[2]
        before = [place for place in chain if place < index and graph.site(place).shape == site.shape]
        if same and before:
            found.append((before[-1], index))
    return found
