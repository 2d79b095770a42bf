"""Origins: the operation that a finding names, and the calls of it that are treated alike."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import POSITIVE, non_finite
from photic.records.sites import Site

FINITE = "no operation makes a number that is not finite"
COMMON = 0.1  # of its numbers; of fewer, a limit changes less


def not_finite_at(graph: Graph) -> Site | None:
    """Return the operation that makes the first number which is not finite; None where all are, or none is to blame."""
    found = non_finite(graph)
    return None if found is None or not found.sites else graph.run.site(found.sites[0])


def calls_like(graph: Graph, site: Site) -> tuple[str, ...]:
    """Return the names of all calls of a site's operation in its phase, the model or the loss, in order of execution."""
    return tuple(s.name for s in graph.run.sites if s.operation == site.operation and s.phase == site.phase)


def shared_below_zero(graph: Graph, site: Site) -> tuple[str, ...] | None:
    """Return a logarithm or root of numbers that are often below 0, and all else of its phase that takes what these are made from.

    None where nothing else takes it, where what takes it lies in another phase, or where few numbers lie outside, unless a layer gives
    them as they come: then more will follow.
    """
    sources = [source for source, _ in graph.feeders.get(site.order, [])]
    made = graph.reading(sources[0]).signal if len(sources) == 1 and sources[0] >= 0 else None
    signal = graph.reading(site.order).signal
    if site.operation not in POSITIVE or made is None or signal is None or made.nonfinite:
        return None
    few = 0.0 if _of_a_layer(graph, sources[0]) else COMMON * signal.count
    if signal.nonfinite - made.zeros <= few:  # a logarithm of 0 is not finite either
        return None
    others = [graph.site(index) for index in graph.consumers.get(sources[0], []) if index != site.order]
    if not others or any(other.phase != site.phase for other in others):
        return None
    return site.name, *(other.name for other in others)


def _of_a_layer(graph: Graph, index: int) -> bool:
    """Whether a site hands on what a layer gives, at most in another shape."""
    while graph.site(index).kind == "shape":
        sources = [source for source, _ in graph.feeders.get(index, [])]
        if len(sources) != 1 or sources[0] < 0:
            return False
        index = sources[0]
    return graph.site(index).kind == "weight"
