"""Cancelled: a value handed to all numbers of an example alike, whose gradients add up to nothing, first and last."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.normalisers import normaliser_of

_SPREADS = ("add", "sub", "rsub", "mul")
_NOTHING = 1e-3  # of what arrives: numbers that cancel leave 1e-7 of it in float32, a normalisation eps / variance, 1e-4 where that is 0.1
_EXACT = ("float32", "float64")  # narrower types round more than that away


@dataclass(frozen=True)
class Cancelled:
    """What is spread, the site that spreads it over an example's numbers, and the trained layers that are heard by that way alone.

    `normaliser` is the site after a product, or a sum, that takes the common scale, or shift, away; None where the loss does so itself.
    """

    source: int
    site: int
    layers: tuple[int, ...]
    normaliser: int | None


def cancelled(graph: Graph) -> Cancelled | None:
    """Return what is added to all numbers of an example alike, or multiplies them, and makes no difference to the loss.

    A shift of all scores before a softmax, a shift or a factor before a normalisation: each number passes a gradient back, and their sum
    over the example is 0 but for rounding, at the first reading and at the last.
    """
    if len(graph.run.steps) < 2 or not all(p.dtype in _EXACT for p in graph.run.parameters):
        return None
    for site in graph.run.sites:
        if site.operation not in _SPREADS or site.phase != "model":
            continue
        for source in {source for source, _ in graph.feeders.get(site.order, []) if source >= 0}:
            if not _spread(graph, source, site.order) or not all(
                _lost(each, source, site.order) for each in (graph.first, graph.last)
            ):
                continue
            others = _heard_without(graph, source, site.order)
            below = (graph.ancestors([source]) | {source}) & set(graph.layers()) - others
            layers = tuple(sorted(index for index in below if _trained(graph, index)))
            if layers:
                return Cancelled(source, site.order, layers, _normaliser(graph, site.order))
    return None


def _spread(graph: Graph, source: int, target: int) -> bool:
    """Whether a value with one number on the last axes of another is handed to all of them, example by example."""
    given, made = graph.site(source).shape, graph.site(target).shape
    alone = len(given) == len(made) > 1 and given[0] == made[0] > 1 and given[-1] == 1 < made[-1]
    return alone and math.prod(given) < math.prod(made)


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


def _heard_without(graph: Graph, source: int, target: int) -> set[int]:
    """Return all sites that the loss, or an output, is made of by a way that does not pass from source to target."""
    ends = [site.order for site in graph.run.sites if site.phase == "loss" or site.order in graph.run.outputs]
    seen, pending = set(ends), list(ends)
    while pending:
        here = pending.pop()
        for below, _ in graph.feeders.get(here, []):
            if below >= 0 and below not in seen and (here, below) != (target, source):
                seen.add(below)
                pending.append(below)
    return seen


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
