"""Samples without a path: values drawn with `sample()` where trained layers take them and `rsample()` would teach those below."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.sites import Parameter

# In a log probability the value that was drawn meets the location, or the scale, of what it was drawn from.
_MEET = ("sub", "mul", "div", "xlogy")


@dataclass(frozen=True)
class Sample:
    """A draw whose distribution could hand the gradient on, and does not.

    Attributes:
        sites: the calls inside `sample()`, and what they are computed from down to the nearest layer.
        draw: the last call inside `sample()`.
        takers: trained layers that take it and get a gradient.
        parameters: trainable parameters below, which hear nothing of what these layers make of it.
    """

    sites: tuple[int, ...]
    draw: int
    takers: tuple[int, ...]
    parameters: tuple[Parameter, ...]


def sampled_way(graph: Graph) -> Sample | None:
    """Return such a draw; None where its log probability is taken too, as in a policy gradient, which needs no path.

    Nor where trained layers take something else of the same distribution, with a path: its mean, or what `rsample()` drew, as an
    actor is taught whose critic looks at samples besides.
    """
    cuts = [s.order for s in graph.run.sites if s.settings.get("sampled") and not s.differentiable]
    if not cuts:
        return None
    near = _near(graph, cuts)
    reached = _until_layers(graph, cuts)
    layers = {i for i in reached if graph.site(i).kind == "weight"}
    takers = tuple(i for i in sorted(layers) if graph.gradient_norm(i) and i in graph.layers())
    scored = any(
        graph.site(index).operation in _MEET
        and any(source in reached for source, _ in graph.feeders.get(index, []))
        and any(source in near - reached for source, _ in graph.feeders.get(index, []))
        for index in reached
        if graph.site(index).settings.get("sampled") is None
    )
    beside = _until_layers(graph, list(near), closed=reached)
    heard = any(graph.gradient_norm(i) for i in beside - near if graph.site(i).kind == "weight")
    below = graph.ancestors(cuts) | set(cuts)
    severed = tuple(p for p in graph.run.parameters if p.trainable and not below.isdisjoint(p.sites))
    if scored or heard or not takers or not severed:
        return None
    inside = [i for i in reached if graph.gradient_norm(i) is None and any(t in graph.descendants([i]) for t in takers)]
    draws = [i for i in inside if i in cuts or graph.site(i).operation == "normal"]
    sites = {i for i in (*near, *inside) if graph.site(i).kind != "weight" and graph.site(i).phase == "model"}
    return Sample(tuple(sorted(sites)), max(draws, default=max(cuts)), takers, severed)


def _near(graph: Graph, starts: list[int]) -> set[int]:
    """Return what flows into the draw, down to the nearest layers and these with it."""
    seen, pending = set(starts), list(starts)
    while pending:
        index = pending.pop()
        if graph.site(index).kind != "weight":
            new = {source for source, _ in graph.feeders.get(index, []) if source >= 0} - seen
            seen |= new
            pending += new
    return seen


def _until_layers(graph: Graph, starts: list[int], closed: Collection[int] = ()) -> set[int]:
    """Return what these flow into, up to the next layers and these with it, by no way through what is closed."""
    seen, pending = set(starts), [index for index in starts if index not in closed]
    while pending:
        index = pending.pop()
        if graph.site(index).kind != "weight" or index in starts:
            new = set(graph.consumers.get(index, [])) - seen - set(closed)
            seen |= new
            pending += new
    return seen
