"""The network as a graph with the readings of one step: who feeds whom, what passed back, whose parameters."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from photic.records.runs import EdgeReading, ParameterReading, Run, SiteReading
from photic.records.sites import Parameter, Site


@dataclass(frozen=True)
class Graph:
    """A run at one step, indexed.

    Attributes:
        feeders: edges into each site: (source, reading); a source of -1 is the input.
        consumers: sites that take each site's output.
        parameters: the parameters that each site uses, with their readings.
    """

    run: Run
    step: int
    feeders: dict[int, list[tuple[int, EdgeReading]]]
    consumers: dict[int, list[int]]
    parameters: dict[int, list[tuple[Parameter, ParameterReading]]]

    @classmethod
    def of(cls, run: Run, step: int = 0) -> Graph:
        """Index one step of a run."""
        feeders: defaultdict[int, list[tuple[int, EdgeReading]]] = defaultdict(list)
        consumers: defaultdict[int, list[int]] = defaultdict(list)
        parameters: defaultdict[int, list[tuple[Parameter, ParameterReading]]] = defaultdict(list)
        readings = run.steps[step]
        for edge, reading in zip(run.edges, readings.edges, strict=True):
            feeders[edge.target].append((edge.source, reading))
            consumers[edge.source].append(edge.target)
        for parameter, reading in zip(run.parameters, readings.parameters, strict=True):
            for site in parameter.sites:
                parameters[site].append((parameter, reading))
        return cls(run, step, dict(feeders), dict(consumers), dict(parameters))

    @property
    def loss(self) -> float | None:
        """Loss at this step."""
        return self.run.steps[self.step].loss

    @cached_property
    def first(self) -> Graph:
        """The same network at the first step that was read."""
        return self if self.step == 0 else Graph.of(self.run, 0)

    @cached_property
    def last(self) -> Graph:
        """The same network at the last step that was read."""
        return Graph.of(self.run, len(self.run.steps) - 1)

    def site(self, index: int) -> Site:
        """Return a site by its index."""
        return self.run.sites[index]

    def reading(self, index: int) -> SiteReading:
        """Return the reading of a site by its index."""
        return self.run.steps[self.step].sites[index]

    def gradient_norm(self, index: int) -> float | None:
        """Return the norm of the gradient that arrived at a site; None if none did."""
        gradient = self.reading(index).gradient
        return None if gradient is None else gradient.norm

    def descendants(self, starts: Iterable[int]) -> set[int]:
        """Return everything that the outputs of `starts` flow into."""
        return self._closure(starts, lambda index: self.consumers.get(index, []))

    def descendants_among(self, starts: Iterable[int], allowed: Collection[int]) -> set[int]:
        """Return everything among `allowed` that the outputs of `starts` flow into by way of these."""
        return self._closure(starts, lambda index: [c for c in self.consumers.get(index, []) if c in allowed])

    def ancestors(self, starts: Iterable[int]) -> set[int]:
        """Return everything that flows into `starts`."""
        return self._closure(starts, lambda index: self._sources.get(index, []))

    @cached_property
    def _sources(self) -> dict[int, list[int]]:
        return {index: [source for source, _ in feeders if source >= 0] for index, feeders in self.feeders.items()}

    @staticmethod
    def _closure(starts: Iterable[int], neighbours: Callable[[int], list[int]]) -> set[int]:
        seen: set[int] = set()
        pending = list(starts)
        while pending:
            for neighbour in neighbours(pending.pop()):
                if neighbour not in seen:
                    seen.add(neighbour)
                    pending.append(neighbour)
        return seen

    def main_path(self) -> list[int]:
        """Return the sites from the loss down to the input along which most of the gradient comes.

        It is the widest path: the one whose smallest contribution is largest, so a skip is followed past a branch that
        passes nothing. It ends at a site that the batch enters, or at an embedding; only without such a one elsewhere.
        Where the gradient fades all the way down, the last contribution is the smallest one of every path: of paths that are
        as wide as each other it is the one with the largest product of the shares that it brings where contributions meet.
        """
        return list(self._path)

    @cached_property
    def _path(self) -> tuple[int, ...]:
        meeting: defaultdict[int, float] = defaultdict(float)
        for site in self.run.sites:
            for source, reading in self.feeders.get(site.order, []):
                meeting[source] += max(_size(reading), 0.0)
        widths: dict[int, float] = {}
        shares: dict[int, float] = {}  # logarithms
        best: dict[int, int] = {}
        for site in self.run.sites:
            feeders, below = self.feeders.get(site.order, []), []
            for source, reading in feeders:
                if source >= 0 and reading.gradient_norm is not None:
                    size = _size(reading)
                    share = math.log(size / meeting[source]) if 0.0 < size < math.inf else -math.inf
                    below.append((min(size, widths[source]), shares[source] + share, size, source))
            entered = any(source < 0 for source, _ in feeders) or site.kind == "weight"
            widths[site.order], shares[site.order] = math.inf if entered else -1.0, 0.0
            if below:
                widths[site.order], shares[site.order], _, best[site.order] = max(below)
        path = [site.order for site in self.run.sites if self.gradient_norm(site.order) is not None][-1:]
        while path and path[-1] in best:
            path.append(best[path[-1]])
        return tuple(path)

    def layers(self) -> list[int]:
        """Return the weight sites of the model that are trained, in order of execution.

        A layer all of whose parameters are frozen is left out, and so is one that uses none.
        """
        return [
            site.order
            for site in self.run.sites
            if site.kind == "weight"
            and site.phase == "model"
            and any(parameter.trainable for parameter, _ in self.parameters.get(site.order, []))
        ]

    def following_activation(self, index: int) -> int | None:
        """Return the activation that takes a layer's output, past shapes, dropout, normalisation and sums."""
        seen = index
        while True:
            after = [c for c in self.consumers.get(seen, []) if self.site(c).phase == "model"]
            if len(after) != 1:
                return None
            seen = after[0]
            kind = self.site(seen).kind
            if kind == "activation":
                return seen
            if kind not in ("shape", "dropout", "normalisation", "sum", "pooling"):
                return None


def _size(reading: EdgeReading) -> float:
    norm = reading.gradient_norm
    return -1.0 if norm is None or math.isnan(norm) else norm
