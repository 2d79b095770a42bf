"""Wrapped: parameters that the forward makes anew of what layers give, so that these learn nothing."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.told_nothing import learned
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
    anew = [p for p in graph.run.parameters if "<unregistered" in p.name and not p.owned]
    if not anew:
        return []
    ends = [
        site
        for site in graph.run.sites
        if site.phase == "model"
        and site.differentiable
        and not graph.consumers.get(site.order)
        and site.order not in graph.run.outputs
        and learned(graph, site.order)
    ]
    found: list[Wrapped] = []
    for parameter in anew:
        users = tuple(index for index in parameter.sites if graph.site(index).phase == "model")
        before = [site for site in ends if users and site.order < min(users) and site.shape == parameter.shape]
        maker = next((site.order for site in before if site.order not in {one.maker for one in found}), None)
        if maker is not None:
            found.append(Wrapped(parameter, maker, users))
    return found
