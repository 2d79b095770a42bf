"""Wrapped: parameters that the forward makes anew of what layers give, so that these learn nothing."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.sites import Parameter


@dataclass(frozen=True)
class Wrapped:
    """A parameter that no optimizer knows, the site whose numbers it holds, and those that use it."""

    parameter: Parameter
    maker: int
    users: tuple[int, ...]


def wrapped(graph: Graph) -> list[Wrapped]:
    """Return the parameters that stand in the model's forward in place of a signal with as many numbers that goes nowhere.

    `nn.Parameter(weights)` has the values and not the history of what it is made of.
    """
    ends = [
        site
        for site in graph.run.sites
        if site.phase == "model"
        and site.differentiable
        and not graph.consumers.get(site.order)
        and site.order not in graph.run.outputs
        and _learned(graph, site.order)
    ]
    found: list[Wrapped] = []
    for parameter in graph.run.parameters:
        if "<unregistered" not in parameter.name or parameter.owned or not parameter.sites:
            continue
        users = tuple(index for index in parameter.sites if graph.site(index).phase == "model")
        taken = {one.maker for one in found}
        makers = [
            site.order
            for site in ends
            if users and site.order < min(users) and site.order not in taken and site.shape == parameter.shape
        ]
        if makers:
            found.append(Wrapped(parameter, makers[0], users))
    return found


def _learned(graph: Graph, index: int) -> bool:
    """Whether trained parameters take part in what a site makes."""
    below = graph.ancestors([index]) | {index}
    return any(p.trainable and p.owned is not False and not below.isdisjoint(p.sites) for p in graph.run.parameters)
