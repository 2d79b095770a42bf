"""Unheard: trained layers that run and whose result nothing takes, and layers without a unit."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.cuts import round_trip
from photic.diagnosis.graph import Graph

# Operations that are called for what they change; what they give is of no use for a log.
_IN_PLACE = (
    "masked_fill",
    "masked_scatter",
    "index_add",
    "index_copy",
    "index_fill",
    "index_put",
    "scatter",
    "scatter_add",
    "scatter_reduce",
)


@dataclass(frozen=True)
class Dropped:
    """A result that goes nowhere: the last site that made it, the trained layers that it was made by, and all of their sites."""

    end: int
    layers: tuple[int, ...]

    def made_in(self, graph: Graph) -> set[int]:
        """Return the sites from the layers to the end."""
        own = set(self.layers)
        return own | {self.end} | (graph.descendants(own) & graph.ancestors([self.end]))


def dropped_results(graph: Graph) -> list[Dropped]:
    """Return the results of trained layers that no output, no loss and nothing that learns is made of.

    Their parameters get no gradient at all at the first reading and at the last, and do not move between. What is an output is
    none, whether the loss looks at it or not; nor what comes back after it left torch.
    """
    if len(graph.run.steps) < 2 or not graph.run.outputs or round_trip(graph) is not None:
        return []
    live = {site.order for site in graph.run.sites if graph.gradient_norm(site.order) is not None}
    heard = live | set(graph.run.outputs) | {site.order for site in graph.run.sites if site.phase == "loss"}
    ends: dict[int, list[int]] = {}
    for index in graph.layers():
        if heard.isdisjoint(graph.descendants([index]) | {index}) and _untouched(graph, index):
            ends.setdefault(_end(graph, index), []).append(index)
    return [Dropped(end, tuple(layers)) for end, layers in sorted(ends.items())]


def _end(graph: Graph, index: int) -> int:
    """Return the last site that a result comes to with its gradient: a copy for the log is none."""
    end, pending = index, [index]
    while pending:
        after = [place for place in graph.consumers.get(pending.pop(), []) if graph.site(place).differentiable]
        end, pending = max([end, *after]), [*pending, *after]
    return end


def _untouched(graph: Graph, index: int) -> bool:
    late = {parameter.name: reading for parameter, reading in graph.last.parameters.get(index, [])}
    own = [(p, r) for p, r in graph.first.parameters.get(index, []) if p.trainable and p.owned is not False]
    return bool(own) and all(
        reading.gradient is None and late[p.name].gradient is None and reading.weight == late[p.name].weight
        for p, reading in own
    )


def thrown_away(graph: Graph) -> list[Dropped]:
    """Return the results of operations that have a twin in place and were not written into anything, where what they took goes on as it was.

    `scores.masked_fill(mask, -inf)` as a statement of its own changes nothing; `masked_fill_` does. The layers are empty.
    """
    heard = set(graph.run.outputs)
    found: list[Dropped] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if (
            site.operation not in _IN_PLACE
            or site.phase != "model"
            or graph.consumers.get(site.order)
            or site.order in heard
        ):
            continue
        later = [place for source in sources[:1] for place in graph.consumers.get(source, []) if place > site.order]
        same = bool(sources) and sources[0] >= 0 and graph.site(sources[0]).shape == site.shape
        if same and heard & (set(later) | graph.descendants(later)):
            found.append(Dropped(site.order, ()))
    return found


def empty_layers(graph: Graph) -> list[int]:
    """Return the layers that have an axis of length 0: torch warns at most where such weights are drawn, and products with them are 0."""
    return [
        index
        for index in graph.layers()
        if any(parameter.trainable and 0 in parameter.shape for parameter, _ in graph.parameters.get(index, []))
    ]
