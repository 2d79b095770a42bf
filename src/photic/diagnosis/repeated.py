"""Repeated: one layer that is called several times on one value, and whose results stand side by side as if they were several."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import weight_and_bias
from photic.records.sites import INPUT

_TOGETHER = {"cat", "stack", "hstack", "vstack", "dstack"}
_Origin = int | tuple[object, ...]


@dataclass(frozen=True)
class Repeated:
    """What is put together at a site: so many results, all of them one, of a layer with this weight; `layers` are its calls."""

    site: int
    weight: str
    layers: tuple[int, ...]


def repeated_layers(graph: Graph, fewest: int = 3) -> list[Repeated]:
    """Return where `fewest` or more results that must be equal, and half or more of all, are put side by side.

    They are equal if the same weights, used whole, and the same activations made them of the same value. What a dropout or a
    choice made counts as different each time.
    """
    found: list[Repeated] = []
    for site in graph.run.sites:
        feeders = graph.feeders.get(site.order, [])
        if site.phase != "model" or site.operation not in _TOGETHER or len(feeders) < fewest:
            continue
        origins = {source: _origin(graph, source) for source, _ in feeders}
        ((most, count),) = Counter(origins.values()).most_common(1)
        if count < fewest or 2 * count < len(feeders):
            continue
        alike = [_layer(graph, source) for source, origin in origins.items() if origin == most]
        own = weight_and_bias(graph, alike[0]) if alike[0] >= 0 else None
        if own is not None:
            found.append(Repeated(site.order, own[0], tuple(sorted(alike))))
    return found


def _origin(graph: Graph, index: int) -> _Origin:
    """Return what a value is made of, as far as calls that give the same of the same are known; else its site."""
    sources = [source for source, _ in graph.feeders.get(index, [])]
    if index == INPUT or len(sources) != 1:
        return index
    site = graph.site(index)
    settings = tuple(sorted(site.settings.items()))
    if site.kind == "activation" and site.operation != "rrelu":
        return site.operation, settings, _origin(graph, sources[0])
    return (site.operation, settings, own, _origin(graph, sources[0])) if (own := _whole(graph, index)) else index


def _whole(graph: Graph, index: int) -> tuple[str, str] | None:
    """Return the names of weight and bias of a layer that uses all rows of its weight."""
    site, own = graph.site(index), weight_and_bias(graph, index)
    if site.kind != "weight" or own is None or site.operation not in ("linear", "conv1d", "conv2d", "conv3d"):
        return None
    rows = next(p.shape[0] for p, _ in graph.parameters.get(index, []) if p.name == own[0])
    axis = -1 if site.operation == "linear" else 1
    return own if len(site.shape) > 1 and site.shape[axis] == rows else None


def _layer(graph: Graph, index: int) -> int:
    while index >= 0 and graph.site(index).kind == "activation":
        index = graph.feeders[index][0][0]
    return index
