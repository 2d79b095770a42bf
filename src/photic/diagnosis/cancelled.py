"""Cancelled: a value whose gradients add up to nothing, first and last: handed to many alike, or taken away from itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Literal

from photic.diagnosis.graph import Graph
from photic.diagnosis.normalisers import normaliser_of

_SPREADS = ("add", "sub", "rsub", "mul")
_NOTHING = 1e-3  # of what arrives: numbers that cancel leave 1e-7 of it in float32, a normalisation eps / variance, 1e-4 where that is 0.1
_ROUNDING = 1e-5  # of the larger of two that are the same but for their signs
_EXACT = ("float32", "float64")  # narrower types round more than that away
_LINEAR = (
    "mean",
    "sum",
    "expand",
    "expand_as",
    "add",
    "sub",
    "rsub",
    "neg",
)  # and shapes: a way on which nothing bends

How = Literal["spread", "two ways", "row"]


@dataclass(frozen=True)
class Cancelled:
    """What is spread, the site that spreads it over an example's numbers, and the trained layers that are heard by that way alone.

    `normaliser` is the site after a product, or a sum, that takes the common scale, or shift, away; None where the loss does so itself.
    `how` may be another: `two ways` lead from the source to the site, a sum or a difference, where they cancel; a `row` of a table
    that all examples of a batch are given is taken away from them (source and site are the table).
    """

    source: int
    site: int
    layers: tuple[int, ...]
    normaliser: int | None
    how: How = "spread"


def cancelled(graph: Graph) -> Cancelled | None:
    """Return what is added to all numbers of an example alike, or multiplies them, and makes no difference to the loss.

    A shift of all scores before a softmax, a shift or a factor before a normalisation: each number passes a gradient back, and their sum
    over the example is 0 but for rounding, at the first reading and at the last. So it is with what is taken away from itself, as a mean over
    one number is, and with a row of a table that the mean over the batch takes away again.
    """
    if len(graph.run.steps) < 2 or not all(p.dtype in _EXACT for p in graph.run.parameters):
        return None
    ends = [site.order for site in graph.run.sites if site.phase == "loss" or site.order in graph.run.outputs]
    alive = graph.ancestors(ends) | set(ends)
    for site in graph.run.sites:
        if site.operation not in _SPREADS or site.phase != "model":
            continue
        for source in {source for source, _ in graph.feeders.get(site.order, []) if source >= 0}:
            if not _spread(graph, source, site.order) or not all(
                _lost(each, source, site.order) for each in (graph.first, graph.last)
            ):
                continue
            layers = _heard_by_it_alone(graph, source, site.order, alive)
            if layers:
                return Cancelled(source, site.order, layers, _normaliser(graph, site.order))
    return _taken_from_itself(graph, alive) or _one_row(graph)


def _taken_from_itself(graph: Graph, alive: set[int]) -> Cancelled | None:
    """Return what goes two ways to a sum or a difference, and gets back from them twice the same but for the sign."""
    for site in graph.run.sites:
        source = site.order
        if site.phase != "model" or not all(_twice(each, source) for each in (graph.first, graph.last)):
            continue
        meeting = _meeting(graph, source)
        if meeting is None:
            continue
        layers = _heard_by_it_alone(graph, source, None, alive)
        if layers:
            return Cancelled(source, meeting, layers, None, "two ways")
    return None


def _twice(graph: Graph, source: int) -> bool:
    """Whether nothing is left of what comes back to a site by several ways."""
    came = [
        edge.gradient_norm or 0.0
        for taker in graph.consumers.get(source, [])
        for feeder, edge in graph.feeders[taker]
        if feeder == source
    ]
    total = graph.gradient_norm(source)
    several = len(came) > 1 and sorted(came)[-2] > 0.0 and math.isfinite(max(came))
    return several and total is not None and total < _ROUNDING * max(came)


def _meeting(graph: Graph, source: int) -> int | None:
    """Return the sum or difference at which two ways from a site meet that are linear; None without one."""
    ways: list[set[int]] = []
    for taker in graph.consumers.get(source, []):
        seen, pending = set[int](), [taker]
        while pending:
            here = pending.pop()
            if here not in seen and (graph.site(here).kind == "shape" or graph.site(here).operation in _LINEAR):
                seen.add(here)
                pending += graph.consumers.get(here, [])
        ways.append(seen)
    meet = [i for one, way in enumerate(ways) for other in ways[one + 1 :] for i in way & other]
    return min((i for i in meet if graph.site(i).operation in ("add", "sub", "rsub")), default=None)


def _one_row(graph: Graph) -> Cancelled | None:
    """Return the trained table of which a batch is given rows whose gradients add up to nothing, though they get some each."""
    for index in graph.layers():
        if graph.site(index).operation != "embedding" or not all(
            _unmoved(each, index) for each in (graph.first, graph.last)
        ):
            continue
        if (normaliser := _normaliser(graph, index)) is not None:
            return Cancelled(index, index, (index,), normaliser, "row")
    return None


def _unmoved(graph: Graph, table: int) -> bool:
    """Whether next to nothing of the gradient that arrives at a table's rows is left of its weights'."""
    arrives, own = graph.gradient_norm(table), [r.gradient for p, r in graph.parameters.get(table, []) if p.trainable]
    alone = all(len(p.sites) == 1 for p, _ in graph.parameters.get(table, []))
    left = [gradient.norm for gradient in own if gradient is not None]
    return alone and bool(arrives) and len(left) == 1 and 0.0 < left[0] < _ROUNDING * (arrives or 0.0)


def _spread(graph: Graph, source: int, target: int) -> bool:
    """Whether a value with one number on some axes of another is handed to all of them, example by example."""
    given, made = graph.site(source).shape, graph.site(target).shape
    if len(given) != len(made) or len(given) < 2 or not given[0] == made[0] > 1:
        return False
    return given != made and all(one in (1, all_of_it) for one, all_of_it in zip(given, made, strict=True))


def _lost(graph: Graph, source: int, target: int) -> bool:
    """Whether next to nothing of the gradient that arrives at the sum, or product, is left of the spread value's."""
    edges = graph.feeders[target]
    gain = next(edge.gain for index, edge in edges if index == source)
    arrives = graph.gradient_norm(target)
    if gain is None or not arrives or not math.isfinite(gain):
        return False
    scale = 1.0
    if graph.site(target).operation == "mul":
        sizes = [graph.reading(index).signal for index, _ in edges if index >= 0 and index != source]
        rms = [size.rms for size in sizes if size is not None]
        if len(rms) != 1 or not rms[0] > 0.0:
            return False
        scale = rms[0]
    return gain < _NOTHING * scale


def _heard_by_it_alone(graph: Graph, source: int, target: int | None, alive: set[int]) -> tuple[int, ...]:
    """Return the trained layers of which the loss, or an output, hears by the way from source to target alone, or past the source alone.

    `alive` is what the loss and the outputs are made of. What runs first has the smaller index, so one walk downwards decides.
    """
    outputs = set(graph.run.outputs)
    if target is not None and (
        source in outputs or any(c != target for c in graph.consumers.get(source, []) if c in alive)
    ):
        return ()
    inside, seen = {source}, {source}
    pending = [-below for below, _ in graph.feeders.get(source, []) if below >= 0]
    heapify(pending)
    while pending:
        here = -heappop(pending)
        if here in seen:
            continue
        seen.add(here)
        if here not in outputs and all(c in inside for c in graph.consumers.get(here, []) if c in alive):
            inside.add(here)
            for below, _ in graph.feeders.get(here, []):
                if below >= 0 and below not in seen:
                    heappush(pending, -below)
    return tuple(index for index in graph.layers() if index in inside and _trained(graph, index))


def _trained(graph: Graph, index: int) -> bool:
    return any(p.trainable and p.owned is not False for p, _ in graph.parameters.get(index, []))


def _normaliser(graph: Graph, start: int) -> int | None:
    """Return the first site that what a site gives is normalised at; None where a softmax comes first, or none comes."""
    after = sorted(graph.descendants([start]))
    found = next(
        (
            i
            for i in after
            if normaliser_of(graph, i) is not None or graph.site(i).operation in ("softmax", "log_softmax")
        ),
        None,
    )
    return found if found is not None and normaliser_of(graph, found) is not None else None
