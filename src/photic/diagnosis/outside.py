"""Outside: a map that is sampled beyond its edges, where there is nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph

_SAMPLING = ("grid_sampler", "grid_sample")
_EMPTY = 0.5  # of what is sampled
_EDGE = 1.2  # of the places' root mean square: torch's edges lie at -1 and 1, and an even filling has 0.6
_LEFT = 0.5  # of what is there to be found, at most
_SIGNED = 0.3  # of the largest: places from 0 on have a mean of about half of it


@dataclass(frozen=True)
class Outside:
    """A sampling most of whose places lie beyond the edges.

    Attributes:
        site: the sampling.
        layers: it, if it samples a trained map, and the trained layers below.
        empty: share of what it gives that is 0.
        low, high: the range that its places come from; nan where they are no signal.
    """

    site: int
    layers: tuple[int, ...]
    empty: float
    low: float
    high: float


def outside(graph: Graph) -> Outside | None:
    """Return the first sampling that finds nothing at most of its places, first and last; None without one."""
    for site in graph.run.sites:
        if site.operation not in _SAMPLING or site.phase != "model":
            continue
        empty = min(_empty(each, site.order) for each in (graph.first, graph.last))
        feeders = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        places = [graph.reading(s).signal for s in feeders if graph.site(s).shape[-1:] in ((2,), (3,))]
        whole = graph.run.inputs if any(source < 0 for source, _ in graph.feeders.get(site.order, [])) else None
        places = [one for one in places or [whole] if one is not None and not one.nonfinite]
        lost = 1.0 - empty < _LEFT * _share_there(graph, site.order)
        if empty < _EMPTY or not lost or site.settings.get("padding_mode", 0) != 0:
            continue
        trained = any(p.trainable for p, _ in graph.parameters.get(site.order, []))
        below = set(graph.layers()) & graph.ancestors([site.order])
        layers = tuple(sorted({site.order} | below if trained else below))
        if (
            not places and empty == 1.0 and layers
        ):  # numbers that the model keeps: where they lie is not known, only that nothing is found
            return Outside(site.order, layers, empty, math.nan, math.nan)
        if not places or not layers or not max(one.rms for one in places) > _EDGE:
            continue
        largest = max(one.maximum for one in places)
        widest = max(places, key=lambda one: one.maximum)
        low = 0.0 if widest.mean > _SIGNED * largest else -largest
        return Outside(site.order, layers, empty, low, largest)
    return None


def _share_there(graph: Graph, index: int) -> float:
    """Return the share of what is sampled, a trained map or a signal, that is not 0; nan where it is not known."""
    maps = [graph.reading(s).signal for s, _ in graph.feeders.get(index, []) if s >= 0 and len(graph.site(s).shape) > 3]
    held = [reading.weight for p, reading in graph.parameters.get(index, []) if len(p.shape) > 3]
    facts = [one for one in [*maps[:1], *held] if one is not None and one.count]
    return min((1.0 - one.zeros / one.count for one in facts), default=math.nan)


def _empty(graph: Graph, index: int) -> float:
    signal = graph.reading(index).signal
    return 0.0 if signal is None or not signal.count else signal.zeros / signal.count
