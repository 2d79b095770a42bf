"""Blocks whose result is dropped, in the way of what they are given."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.unheard import dropped_results, thrown_away
from photic.records.sites import INPUT
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("paszke2017", "he2016"), rank=1)
def continued_blocks(graph: Graph) -> Prescription | str:
    """What dropped blocks make of a value, in one shape, goes on in the value's place: x = block(x).

    What it changes: whatever takes the value after a block, the next block among them, is given what the block made of it.

    When not to: where a result was computed for the log alone.
    """
    streams: dict[int, list[tuple[int, int]]] = {}
    for one in dropped_results(graph):
        made = _with_what_only_it_takes(graph, one.made_in(graph))
        entering = [(s, place) for place in sorted(made) for s, _ in graph.feeders.get(place, []) if s not in made]
        if (
            len({source for source, _ in entering}) > 1
        ):  # of what enters beside it, only what is used later can be the value
            entering = [pair for pair in entering if any(i > one.end for i in graph.consumers.get(pair[0], []))]
        if len({source for source, _ in entering}) == 1 and _shape(graph, *entering[0]) == graph.site(one.end).shape:
            streams.setdefault(entering[0][0], []).append((entering[0][1], one.end))
    for one in thrown_away(graph):
        streams.setdefault(graph.feeders[one.end][0][0], []).append((one.end, one.end))
    found: list[tuple[tuple[tuple[str, str], ...], tuple[str, ...]]] = []
    for source, stretches in streams.items():
        first_end = min(end for _, end in stretches)
        starts = {start for start, _ in stretches}
        takers = sorted(place for place in set(graph.consumers.get(source, [])) - starts if place > first_end)
        if not set(graph.run.outputs).isdisjoint(graph.descendants(takers) | set(takers)):
            pairs = tuple((graph.site(start).name, graph.site(end).name) for start, end in sorted(stretches))
            found.append((pairs, tuple(graph.site(place).name for place in takers)))
    if not found:
        return "no block whose result is dropped keeps the shape of what it is given, which is used afterwards"
    return Prescription(continued=tuple(found), why="blocks whose result is dropped: go on with what they make")


def _with_what_only_it_takes(graph: Graph, made: set[int]) -> set[int]:
    """Return a block with what stands before its layers and is taken by nothing else: a padding, an axis moved, an activation."""
    layers = set(graph.layers())
    while True:
        before = {s for place in made for s, _ in graph.feeders.get(place, []) if s >= 0} - made - layers
        own = {s for s in before if set(graph.consumers.get(s, [])) <= made}
        if not own:
            return made
        made = made | own


def _shape(graph: Graph, source: int, taker: int) -> tuple[int, ...]:
    """Return the shape of what enters; of the model's input as a layer of its own width would take it."""
    if source != INPUT:
        return graph.site(source).shape
    facts, shape = graph.reading(taker).weight, graph.site(taker).shape
    return () if facts is None else (*shape[:-1], facts.fan_in)
