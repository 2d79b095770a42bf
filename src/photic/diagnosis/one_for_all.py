"""One for all: where in the forward the examples of a batch become one, so that nothing above can tell them apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from photic.diagnosis.by_itself import over_one_number
from photic.diagnosis.cuts import FLAT_STEPS
from photic.diagnosis.graph import Graph
from photic.records.runs import SiteReading

SAME = 1e-12  # of the mean square; float32 rounds at 1e-14
_TOLD = (
    1e-6  # beyond it examples are told apart; what lies between has faded layer by layer, which is a matter of depth
)
_CASTS = ("to", "type", "byte", "int", "long", "short", "char", "bool", "half", "type_as")
QUOTIENTS = ("floor_divide", "floordiv")
_LIMITS = ("clamp", "clamp_min", "clamp_max")
_DIVISIONS = ("div", "true_divide", "divide", "truediv")
_PRODUCTS = ("mul", "div", "matmul", "bmm", "baddbmm", "einsum")
_ATTENTION = ("softmax", "scaled_dot_product_attention")
SPREADS = ("expand", "expand_as", "repeat", "broadcast_to", "tile")
_READ_OUT = ("getitem", "select", "index_select", "narrow", *SPREADS)
_MOVES = (
    "view", "reshape", "transpose", "permute", "flatten", "unflatten", "squeeze", "unsqueeze", "T", "mT", "contiguous", "detach",
    "data", "clone", "float", "double", "movedim", "unbind", "t", "swapaxes", "view_as", "reshape_as",
)  # fmt: skip

How = Literal[
    "rounded", "limited", "masked", "normalised", "attended", "cancelled", "read-out", "underflowed", "averaged"
]


@dataclass(frozen=True)
class OneForAll:
    """Where all examples become one.

    Attributes:
        site: the operation that makes them so.
        how: rounded to whole numbers; limited to a range that holds none of them; masked, all of them; normalised over a single number; attended:
            what is read is the same for all; cancelled: two that are the same are subtracted; read-out: one row is handed to all;
            underflowed: an exponential gives 0 of all; averaged: a sum is divided by what it has grown with.
        alike: the lowest site above it all of whose rows were seen to be the same.
    """

    site: int
    how: How
    alike: int


def one_for_all(graph: Graph) -> OneForAll | None:
    """Return where the examples become one; None where an output tells them apart, before the steps or after, or none entered unlike.

    What a layer's weights or the flat end of an activation do is no matter of this: training moves them, and they have rules of
    their own. So an operation below all weights is named, or one that makes one of all whatever the weights are.
    """
    outputs, size = [_unmoved(graph, index) for index in graph.run.outputs], _batch(graph)
    steps, lost = (graph.first, graph.last), over_one_number(graph)
    # A number less itself leaves 0, or what float32 rounds at, in which examples differ.
    limit = _TOLD if lost else SAME
    if size and outputs and all(_from_one_row(graph, index, size) for index in outputs):
        return OneForAll(outputs[0], "read-out", outputs[0])
    if not size or not outputs or not all(_same(step.reading(index), limit) for step in steps for index in outputs):
        return None
    if not any(_spread(step.reading(index)) is not None for step in steps for index in outputs):
        return None  # zeros alone say nothing: a last layer may start there
    seen: set[int] = set()
    edge: list[int] = []
    waiting = list(outputs)
    while waiting:
        index = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        feeders = [source for source, _ in graph.feeders.get(index, [])]
        told = [source for source in feeders if source not in lost and _tells(graph, steps, source, size)]
        if told and not _multiplied_by_one(graph, steps, index, feeders):
            edge.append(index)
        seen.update(source for source in told if source >= 0 and graph.site(source).operation in _ATTENTION)
        for source in feeders:
            if source < 0 or source in told:
                continue
            share = _spread(graph.reading(source))
            if share is not None and limit <= share <= _TOLD and graph.site(source).shape[0] == size:
                return None  # it fades from layer to layer
            waiting.append(source)
    return _named(graph, steps, edge, seen)


def _named(graph: Graph, steps: tuple[Graph, Graph], edge: list[int], seen: set[int]) -> OneForAll | None:
    if not edge:
        return None
    first = min(edge)
    alike = min((i for i in seen if i > first and _sure(graph, i)), default=max(seen))
    attending = [i for i in seen if graph.site(i).operation in _ATTENTION and graph.site(i).shape[-1:] != (1,)]
    if attending and all(_moves(graph, index) or _attends(graph, index, attending) for index in edge):
        return OneForAll(min(attending), "attended", alike)
    made = [index for index in sorted(edge) if not _moves(graph, index)]
    ways: list[How] = [how for index in made if (how := _how(graph, steps, index)) is not None]
    if not made or len(ways) < len(made):
        return None
    site, how = made[0], ways[0]
    if how == "cancelled":  # x + (round(x) - x).detach(), where all is rounded to 0
        below = graph.ancestors([site])
        rounded = [
            index
            for index in sorted(below)
            if graph.site(index).operation in FLAT_STEPS and all(_same(step.reading(index)) for step in steps)
        ]
        if rounded:
            return OneForAll(rounded[0], "rounded", alike)
    return OneForAll(site, how, alike)


def _attends(graph: Graph, index: int, attending: list[int]) -> bool:
    """Whether a site is an attention, or a mean of values under its shares."""
    if graph.site(index).operation not in _PRODUCTS:
        return index in attending
    return any(source in attending for source, _ in graph.feeders.get(index, []))


def _how(graph: Graph, steps: tuple[Graph, Graph], index: int) -> How | None:
    """Return how a site makes one of all; None where its weights or its flat end may do it, or where it is not known."""
    site = graph.site(index)
    below = graph.ancestors([index]) | {index}
    learned = any(p.trainable and not below.isdisjoint(p.sites) for p in graph.run.parameters)
    if site.operation in _CASTS or site.operation in FLAT_STEPS or site.operation in QUOTIENTS:
        return "rounded"
    if site.operation == "masked_fill":
        return None if learned else "masked"
    if site.operation in _LIMITS:
        return None if learned else "limited"
    if site.kind == "normalisation":
        held = [reading.weight.rms for p, reading in graph.parameters.get(index, []) if p.name.endswith("weight")]
        return None if any(rms == 0.0 for rms in held) else "normalised"
    if site.operation in ("sub", "rsub", "add"):
        return "cancelled" if all(_nothing(step.reading(index)) for step in steps) else None
    if site.operation == "exp":
        return "underflowed" if all(_nothing(step.reading(index)) for step in steps) else None
    if averages(graph, index):
        return "averaged"
    return "read-out" if site.operation in _READ_OUT or site.operation == "mean" else None


def averages(graph: Graph, index: int) -> bool:
    """Whether a site divides what differs between the examples by something else that does, and nothing that differs is left."""
    sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    if graph.site(index).operation not in _DIVISIONS or len(sources) != 2:
        return False
    shares = [_spread(graph.reading(source)) for source in sources]
    return _same(graph.reading(index)) and all(share is not None and share > _TOLD for share in shares)


def _batch(graph: Graph) -> int:
    """Return how many rows the outputs have; 0 where they disagree, or are fewer than two."""
    rows = {graph.site(index).shape[0] if graph.site(index).shape else 0 for index in graph.run.outputs}
    count = rows.pop() if len(rows) == 1 else 0
    return count if count > 1 else 0


def _tells(graph: Graph, steps: tuple[Graph, Graph], index: int, size: int) -> bool:
    """Whether what a site gives, or the batch, is seen to differ between the examples."""
    if index < 0:
        return graph.run.columns is not None or graph.run.whole_differ
    shape = graph.site(index).shape
    if not shape or shape[0] != size or (len(shape) < 2 and _spread(graph.reading(index)) is None):
        return False
    if (inner := _carried(graph, index)) is not None:
        return _tells(graph, steps, inner, size)
    shares = [_spread(step.reading(index)) for step in steps]
    return all(share is not None and share > _TOLD for share in shares)


def _carried(graph: Graph, index: int) -> int | None:
    """Return what a site hands on as it is, so that its examples differ as these do; None if it changes what it takes."""
    site, feeders = graph.site(index), [source for source, _ in graph.feeders.get(index, [])]
    if not _moves(graph, index) or len(feeders) != 1:
        return None
    return feeders[0] if feeders[0] < 0 or graph.site(feeders[0]).shape[:1] == site.shape[:1] else None


def _unmoved(graph: Graph, index: int) -> int:
    """Return the site that made what this one hands on in another shape."""
    while (inner := _carried(graph, index)) is not None and inner >= 0:
        index = inner
    return index


def _moves(graph: Graph, index: int) -> bool:
    """Whether a site hands on all numbers that it takes: in another shape, or with an axis of length 1 more."""
    site, feeders = graph.site(index), [source for source, _ in graph.feeders.get(index, [])]
    if site.operation != "getitem" or len(feeders) != 1:
        return site.operation in _MOVES
    entering = graph.run.inputs if feeders[0] < 0 else graph.reading(feeders[0]).signal
    return entering is not None and entering.count == math.prod(site.shape)


def _from_one_row(graph: Graph, index: int, size: int) -> bool:
    """Whether a site hands one row to all examples that was made of the whole batch."""
    site, feeders = graph.site(index), [source for source, _ in graph.feeders.get(index, [])]
    if site.operation not in SPREADS or site.shape[:1] != (size,) or len(feeders) != 1 or feeders[0] < 0:
        return False
    below = graph.ancestors([index])
    entered = any(source < 0 for place in below for source, _ in graph.feeders.get(place, []))
    return (
        graph.site(feeders[0]).shape[:1] == (1,)
        and entered
        and (graph.run.columns is not None or graph.run.whole_differ)
    )


def attended_alike(graph: Graph) -> list[int]:
    """Return the attentions that read the same of every example, before the steps and after, though what they read from differs.

    They let through nothing but what all examples have alike: padding.
    """
    size, steps = _batch(graph), (graph.first, graph.last)
    found: list[int] = []
    for site in graph.run.sites:
        if size and site.operation == _ATTENTION[1] and site.phase == "model" and site.shape[:1] == (size,):
            sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
            read = sources[1:]  # keys and values, not the query
            given = [step.reading(site.order) for step in steps]
            alike = all(map(_same, given)) and not all(map(_nothing, given))
            if alike and any(_tells(graph, steps, source, size) for source in graph.ancestors(read) | set(read)):
                found.append(site.order)
    return found


def _multiplied_by_one(graph: Graph, steps: tuple[Graph, Graph], index: int, feeders: list[int]) -> bool:
    """Whether a product is the same for all because one of its factors is 0 for all."""
    return graph.site(index).operation in _PRODUCTS and any(
        all(_nothing(step.reading(source)) for step in steps) for source in feeders if source >= 0
    )


def _sure(graph: Graph, index: int) -> bool:
    share = _spread(graph.reading(index))
    return share is not None and share < SAME


def _same(reading: SiteReading, limit: float = SAME) -> bool:
    share = _spread(reading)
    return _nothing(reading) or (share is not None and share < limit)


def _nothing(reading: SiteReading) -> bool:
    return reading.signal is not None and reading.signal.rms == 0.0


def _spread(reading: SiteReading) -> float | None:
    return None if reading.spread is None else reading.spread.examples
