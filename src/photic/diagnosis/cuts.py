"""Cuts: where the way from the loss down to trainable parameters is severed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.sites import INPUT, Parameter


@dataclass(frozen=True)
class Cut:
    """An operation that passes no gradient, and what lies below it.

    Attributes:
        site: its index.
        parameters: trainable parameters that get no gradient because of it.
        layers: sites of kind `weight` among those that lie below.
        share: their share of the numbers in all trainable parameters.
        under_no_grad: the operation is differentiable and ran under no_grad.
        into_loss_only: what it makes goes into the loss directly, like a target.
    """

    site: int
    parameters: tuple[Parameter, ...]
    layers: tuple[int, ...]
    share: float
    under_no_grad: bool
    into_loss_only: bool


NOT_DIFFERENTIABLE = {
    "argmax", "argmin", "gt", "lt", "ge", "le", "eq", "ne", "long", "int", "argsort", "bool", "multinomial", "bernoulli",
    "searchsorted", "bucketize", "byte", "topk", "one_hot", "floor_divide",
}  # fmt: skip
_PASS_NONE = {"detach", "data", "to", "type", "grad", *NOT_DIFFERENTIABLE}
FLAT_STEPS = {
    "round",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "sgn",
    "heaviside",
}  # their derivative is 0, and torch passes it


def find_cut(graph: Graph) -> Cut | None:
    """Return the cut that severs most parameters; None when no way is severed."""
    lost = _lost(graph)
    if not lost:
        return None
    targets = _live(graph)
    best: Cut | None = None
    for site in graph.run.sites:
        if site.differentiable:
            continue
        above = graph.descendants([site.order])
        if site.phase == "model" and targets and not above & targets:
            continue  # what it makes never meets the loss: logging, metrics
        below = graph.ancestors([site.order]) | {site.order}
        severed = [parameter for parameter in lost if set(parameter.sites) & below]
        if not severed or (best is not None and len(severed) <= len(best.parameters)):
            continue
        meets = {graph.site(index).phase for index in graph.consumers.get(site.order, [])}
        total = sum(math.prod(p.shape) for p in graph.run.parameters if p.trainable)
        best = Cut(
            site.order,
            tuple(severed),
            tuple(
                index
                for index in sorted(below)
                if graph.site(index).kind == "weight" and any(index in parameter.sites for parameter in severed)
            ),
            sum(math.prod(p.shape) for p in severed) / max(total, 1),
            site.operation not in _PASS_NONE,
            meets == {"loss"} and any(graph.site(index).phase == "model" for index in targets),
        )
    return best


@dataclass(frozen=True)
class FlatStep:
    """An operation whose derivative is 0 everywhere, and the trained parameters that get exactly 0 because of it."""

    site: int
    parameters: tuple[Parameter, ...]


def flat_steps(graph: Graph) -> FlatStep | None:
    """Return the first such operation that starves parameters; None where each has another way.

    A parameter is starved whose gradient is exactly 0, while one arrives at the operation and nothing but it, and what follows it,
    takes part in what is learned. Weights that are rounded themselves enter it with no site below.
    """
    readings = graph.run.steps[graph.step].parameters
    live = _live(graph)
    for site in graph.run.sites:
        arrived = graph.gradient_norm(site.order)
        if site.operation not in FLAT_STEPS or not arrived or graph.reading(site.order).gain not in (0.0, None):
            continue
        below = graph.ancestors([site.order]) | {site.order}
        around = below | graph.descendants([site.order])
        itself = not any(graph.site(i).kind == "weight" or _entered(graph, i) for i in below)  # weights are rounded
        starved = tuple(
            parameter
            for parameter, reading in zip(graph.run.parameters, readings, strict=True)
            if parameter.trainable
            and not below.isdisjoint(parameter.sites)
            and (itself or live.intersection(parameter.sites) <= around)
            and reading.gradient is not None
            and reading.gradient.rms == 0.0
        )
        if starved:
            return FlatStep(site.order, starved)
    return None


@dataclass(frozen=True)
class RoundTrip:
    """A signal that leaves torch, as a list, an array or a number, and comes back as new numbers.

    Attributes:
        leaves: site after which nothing follows.
        returns: site of kind `weight` into which numbers come that nothing made.
        parameters: trainable parameters that get no gradient because of it.
        fits: whether it comes back as as many numbers as it left.
    """

    leaves: int
    returns: int
    parameters: tuple[Parameter, ...]
    fits: bool = True


def round_trip(graph: Graph) -> RoundTrip | None:
    """Return where a signal leaves torch and comes back; None where no parameter is lost by it.

    Known by a dead end that no output is, above parameters without a gradient, and a later layer that learns, is fed by nothing
    that was seen and takes as many numbers as the dead end makes; a convolution as many channels, and maps of any size. Where the dead
    end is a `detach`, as before `.numpy()`, other numbers may come back. What is made of parameters alone never left.
    """
    lost, live = _lost(graph), _live(graph)
    if not lost:
        return None
    fed = {edge.target for edge in graph.run.edges}
    returns = {
        site.order: parameter.shape[0 if "transpose" in site.operation else 1]
        for site in graph.run.sites
        if site.kind == "weight" and site.phase == "model" and site.order in live and site.order not in fed
        and site.operation != "embedding" and not _of_parameters(graph, site.order, live)
        for parameter, _ in graph.parameters.get(site.order, [])
        if len(parameter.shape) > 1
    }  # fmt: skip
    for site in reversed(graph.run.sites):
        if site.phase != "model" or site.order in graph.run.outputs or graph.consumers.get(site.order):
            continue
        below = graph.ancestors([site.order]) | {site.order}
        severed = tuple(parameter for parameter in lost if set(parameter.sites) & below)
        whole = site.order  # before it was taken apart, row by row or number by number
        while (
            graph.site(whole).kind == "shape"
            and len(graph.feeders.get(whole, [])) == 1
            and graph.feeders[whole][0][0] >= 0
        ):
            whole = graph.feeders[whole][0][0]
        shapes = [graph.site(place).shape for place in (site.order, whole)]
        later = [
            index
            for index, taken in returns.items()
            if index > site.order and any((taken,) == _width(graph, index, shape) for shape in shapes)
        ]
        if severed and later:
            return RoundTrip(whole, later[0], severed)
        others = [index for index in returns if index > site.order]
        # The answers are made of what comes back alone: nothing that was traced from the batch reaches the layers above.
        alone = len(others) == 1 and not any(INPUT in _sources(graph, place) for place in graph.run.outputs)
        if severed and alone and site.operation == "detach":
            return RoundTrip(whole, others[0], severed, fits=False)
    return None


def _of_parameters(graph: Graph, layer: int, live: set[int]) -> bool:
    """Whether parameters that other operations took before, and that learn of it, enter a layer."""
    taken = {place for p, _ in graph.parameters.get(layer, []) if p.trainable for place in p.sites if place < layer}
    return not live.isdisjoint(taken)


def _sources(graph: Graph, place: int) -> set[int]:
    """Return all that feeds what a site is made of; `INPUT` among it where the batch does."""
    return {source for index in graph.ancestors([place]) | {place} for source, _ in graph.feeders.get(index, [])}


def _width(graph: Graph, layer: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many numbers a layer would take of that shape: its channels if it is a convolution."""
    return shape[1:2] if graph.site(layer).operation.startswith("conv") and len(shape) > 2 else shape[-1:]


def hidden_parameters(graph: Graph) -> list[Parameter]:
    """Return trainable parameters that a custom autograd function used without recording, and that got no gradient."""
    return [p for p in graph.run.parameters if p.hidden and p.trainable and p.owned is not False and not p.sites]


def _lost(graph: Graph) -> list[Parameter]:
    """Return trainable parameters that were used and got no gradient, unless the optimizer leaves them out on purpose."""
    first, last = graph.run.steps[0].parameters, graph.run.steps[-1].parameters
    return [
        parameter
        for parameter, early, late in zip(graph.run.parameters, first, last, strict=True)
        if parameter.trainable
        and parameter.sites
        and parameter.owned is not False
        and early.gradient is None
        and early.weight == late.weight  # what moved since had a gradient in another step: turns are taken
    ]


def _entered(graph: Graph, index: int) -> bool:
    return any(source < 0 for source, _ in graph.feeders.get(index, []))


def _live(graph: Graph) -> set[int]:
    return {site.order for site in graph.run.sites if graph.gradient_norm(site.order) is not None}
