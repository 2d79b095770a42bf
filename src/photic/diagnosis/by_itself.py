"""By itself: what is left of a number that a sum over it alone, or a mean of it alone, takes away."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph

_SUMS = ("sum", "mean", "amax", "norm", "vector_norm", "linalg_vector_norm")
_BETWEEN = ("clamp", "clamp_min", "add", "expand_as", "expand")
_UNHEARD = 1e-5  # of the largest gradient of a parameter: x / x has a slope of 0, and float32 rounds at 1e-7


@dataclass(frozen=True)
class ByItself:
    """A quotient of numbers by themselves.

    Attributes:
        site: the division.
        sum: what was summed, over one number each.
        layers: trained layers below that no gradient reaches.
    """

    site: int
    sum: int
    layers: tuple[int, ...]


def divided_by_itself(graph: Graph) -> ByItself | None:
    """Return the first division of numbers by a sum over each alone that keeps the gradient from trained layers; None without one."""
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if site.operation != "div" or site.phase != "model" or len(sources) != 2 or min(sources) < 0:
            continue
        above, below = sources
        total = _sum_below(graph, below)
        if total is None or above not in [source for source, _ in graph.feeders.get(total, [])]:
            continue
        if math.prod(graph.site(total).shape) != math.prod(graph.site(above).shape):
            continue
        if unheard := _unheard(graph, above):
            return ByItself(site.order, total, unheard)
    return None


def over_one_number(graph: Graph) -> frozenset[int]:
    """Return the normalisations that take the mean away of each number alone, of which 0 is left."""
    return frozenset(
        site.order
        for site in graph.run.sites
        if site.phase == "model" and site.operation in ("group_norm", "layer_norm") and _members(graph, site.order) == 1
    )


def levelled(graph: Graph) -> list[tuple[int, tuple[int, ...]]]:
    """Return the normalisations of each number alone, with the trained layers below that no gradient reaches."""
    found = [(index, _unheard(graph, index)) for index in sorted(over_one_number(graph))]
    return [(index, layers) for index, layers in found if layers]


def _members(graph: Graph, index: int) -> int:
    """Return over how many numbers a normalisation takes one mean; 0 where it is not known."""
    site = graph.site(index)
    if site.operation == "layer_norm":
        length = site.settings.get("normalized_shape")
        return length if isinstance(length, int) else 0
    groups = site.settings.get("num_groups")
    return math.prod(site.shape[1:]) // groups if isinstance(groups, int) and groups > 0 and site.shape else 0


def _sum_below(graph: Graph, index: int) -> int | None:
    while graph.site(index).operation in _BETWEEN:
        sources = [
            source for source, edge in graph.feeders.get(index, []) if source >= 0 and edge.gradient_norm is not None
        ]
        if not sources:
            return None
        index = sources[0]  # one that only lends its shape gets no gradient
    return index if graph.site(index).operation in _SUMS else None


def _unheard(graph: Graph, index: int) -> tuple[int, ...]:
    """Return the trained layers below whose gradient is rounding, at the first step and at the last."""
    below = graph.ancestors([index])
    return tuple(
        layer
        for layer in graph.layers()
        if layer in below and all(_rounding(each, layer) for each in (graph.first, graph.last))
    )


def _rounding(graph: Graph, layer: int) -> bool:
    own = [reading.gradient.rms for _, reading in graph.parameters.get(layer, []) if reading.gradient is not None]
    all_of_them = [
        reading.gradient.rms
        for held in graph.parameters.values()
        for _, reading in held
        if reading.gradient is not None and math.isfinite(reading.gradient.rms)
    ]
    return bool(own) and max(own) <= _UNHEARD * max(all_of_them, default=0.0)
