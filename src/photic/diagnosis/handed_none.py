"""Silent ways: where an operation that gets a gradient hands none to the only signal that it takes from trained layers."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.sites import Parameter

# They give values and, beside these, places as whole numbers: only the values have a slope.
GIVE_PLACES = {"max", "min", "topk", "sort", "kthvalue", "median", "nanmedian", "mode", "cummax", "cummin", "aminmax"}


@dataclass(frozen=True)
class SilentWay:
    """A signal that is taken, and to which nothing is passed back.

    Attributes:
        source: site that makes the signal; the taker itself where what is taken are parameters.
        taker: site that takes it and gets a gradient.
        parameters: trainable parameters that get none because of it.
        by_place: what is taken are places among the values that the source chooses from.
    """

    source: int
    taker: int
    parameters: tuple[Parameter, ...]
    by_place: bool


def silent_way(graph: Graph) -> SilentWay | None:
    """Return the silent way that severs most parameters; None where each has another.

    The source could be differentiated and hears of no consumer; the taker is one to which a gradient comes. torch's own functions
    pass something to all that they can differentiate by: so it is a place that was taken, or a backward of the user's own that
    returns None.
    """
    unheard = _unheard(graph)
    best: SilentWay | None = None
    for site in graph.run.sites:
        source = site.order
        if _own(graph, source) and graph.gradient_norm(source) and _without(graph, source):
            same = [other.order for other in graph.run.sites if other.operation == site.operation]
            held = tuple({p.name: p for index in same for p in _without(graph, index)}.values())
            if best is None or len(held) > len(best.parameters):
                best = SilentWay(source, source, held, by_place=False)
            continue
        if not site.differentiable or graph.gradient_norm(source) is not None:
            continue
        place = site.operation in GIVE_PLACES
        taker = next((i for i in sorted(_takers(graph, source)) if place or _own(graph, i)), None)
        if taker is None:
            continue
        below = graph.ancestors([source]) | {source}
        severed = tuple(parameter for parameter in unheard if not below.isdisjoint(parameter.sites))
        if severed and (best is None or len(severed) > len(best.parameters)):
            best = SilentWay(source, taker, severed, place)
    return best


def _takers(graph: Graph, source: int) -> set[int]:
    """Return what takes a signal, or whole numbers made of its places, and gets a gradient."""
    seen, pending = {source}, [source]
    while pending:
        for after in graph.consumers.get(pending.pop(), []):
            if after not in seen:
                seen.add(after)
                if graph.site(after).dtype.startswith(("int", "uint")):
                    pending.append(after)
    return {index for index in seen if graph.gradient_norm(index)}


def _own(graph: Graph, index: int) -> bool:
    """Whether a site is an autograd function of the user's: discovered behind its result, and no call of torch's."""
    site = graph.site(index)
    return site.kind == "other" and site.operation[:1].isupper() and not site.settings


def _without(graph: Graph, index: int) -> tuple[Parameter, ...]:
    """Return the trained parameters that a function of the user's alone uses, and that get no gradient from it."""
    return tuple(
        parameter
        for parameter, reading in graph.parameters.get(index, [])
        if parameter.trainable
        and parameter.owned is not False
        and reading.gradient is None
        and all(_own(graph, site) for site in parameter.sites)
    )


def _unheard(graph: Graph) -> list[Parameter]:
    """Return the trained parameters none of whose sites gets a gradient; a custom function makes zeros of what does not come."""
    return [
        parameter
        for parameter, reading in zip(graph.run.parameters, graph.run.steps[graph.step].parameters, strict=True)
        if parameter.trainable
        and parameter.sites
        and parameter.owned is not False
        and (reading.gradient is None or reading.gradient.rms == 0.0)
        and all(graph.gradient_norm(site) is None for site in parameter.sites)
    ]
