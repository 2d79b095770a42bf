"""Made alike: what a stack of layers makes more alike from layer to layer, each by a sign of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import loops
from photic.diagnosis.one_position import apart, positions
from photic.diagnosis.roles import residual_branches
from photic.diagnosis.stream import passed_by_batch


@dataclass(frozen=True)
class Alike:
    """A site, and the share of the mean square that differs there and that differed below."""

    site: int
    share: float
    below: float


def settled(graph: Graph, *, alike: float = 1e-6, differed: float = 1e-2) -> Alike | None:
    """Return the end of a loop that nothing enters after its first turn, and in which all examples become one state.

    Both at the first reading and at the last. A contraction forgets where it began; what enters at every turn is not forgotten.
    """
    for loop in loops(graph):
        first, end = loop.sites[0], loop.sites[-1]
        inside = (graph.descendants([first]) & graph.ancestors([end])) | {first, end}
        if any(source not in inside for index in inside - {first} for source, _ in graph.feeders.get(index, [])):
            continue
        spreads = [(each.reading(first).spread, each.reading(end).spread) for each in (graph.first, graph.last)]
        if all(
            one is not None and other is not None and one.examples > differed and other.examples < alike
            for one, other in spreads
        ):
            one, other = spreads[0]
            assert one is not None and other is not None
            return Alike(end, other.examples, one.examples)
    return None


def averaged(graph: Graph, *, sure: float = 1e3, line: float = 1.2) -> list[int]:
    """Return the hidden layers of a stack whose weights have one sign for the most part, and that bring all examples onto one line.

    Of a matrix whose entries have a mean m and a deviation s, one singular value is |m| sqrt(in out), and the others lie below
    s (sqrt(in) + sqrt(out)): each layer lets what differs along other directions fade by the quotient beside the mean. Where that is
    more than 2, over several layers more than `sure`, and less than `line` directions are left at the top, and no more come within the
    steps, they are returned; else none.
    """
    hidden = [
        index
        for index in graph.layers()
        if (facts := graph.reading(index).spread) is not None and facts.directions is not None
    ]
    first, last = graph.first, graph.last
    guilty = [index for index in hidden if (_mean_beside_bulk(first, index) or 0.0) > 2.0]
    if len(guilty) < 2 or 2 * len(guilty) < len(hidden):
        return []
    if math.prod(_mean_beside_bulk(first, index) or 1.0 for index in guilty) < sure:
        return []
    top, later = first.reading(max(guilty)).spread, last.reading(max(guilty)).spread
    one = top is not None and (top.directions or math.inf) < line
    return guilty if one and (later is None or later.directions is None or later.directions < line) else []


def _mean_beside_bulk(graph: Graph, index: int) -> float | None:
    facts = graph.reading(index).weight
    if facts is None or facts.variance <= 0.0 or facts.fan_out <= 0.0:
        return None
    wide, high = math.sqrt(facts.fan_in), math.sqrt(facts.fan_out)
    return abs(facts.mean) * wide * high / (math.sqrt(facts.variance) * (wide + high))


def blurred(graph: Graph, *, fewest: int = 10, alike: float = 0.01, beside: float = 10.0) -> Alike | None:
    """Return where the positions of a sequence have become alike over `fewest` or more layers, and the share that still differs.

    Less than `alike` of the mean square at the top, ten times as much at the first layer, from layer to layer less, no skip around
    them, and what differs between the examples is `beside` times as much; first and last.
    """
    stream = passed_by_batch(graph)
    if residual_branches(graph):
        return None
    layers = set(graph.layers())
    known = [
        i
        for i in stream
        if i in layers and not graph.site(i).operation.startswith("conv") and apart(graph, i) is not None
    ]
    if len(known) < fewest or len({positions(graph, index) for index in known}) != 1:
        return None
    found: list[Alike] = []
    for each in (graph.first, graph.last):
        shares = [apart(each, index) or 0.0 for index in known]
        top = each.reading(known[-1]).spread
        falling = sum(later < before for before, later in pairwise(shares))
        if top is None or shares[0] < 10.0 * alike or shares[-1] >= alike or top.examples < beside * shares[-1]:
            return None
        if falling < 0.8 * (len(shares) - 1):
            return None
        found.append(
            Alike(next(i for i, share in zip(known, shares, strict=True) if share < alike), shares[-1], shares[0])
        )
    return found[0]
