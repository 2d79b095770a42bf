"""Centred away: a mean over what was just centred, which is 0 whatever comes in."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.normalisers import normaliser_of

_NOTHING = 1e-5  # of what enters: float32 rounds at 1e-7, and an honest mean of n unlike numbers is 1 / sqrt(n) of them
_WIDE = ("float32", "float64")


def centred_away(graph: Graph) -> list[tuple[int, int | None]]:
    """Return (mean, normalisation below it that centres what it averages, None where none is known), first and last.

    A mean below trained layers counts: what these are given is rounding.
    """
    found: list[tuple[int, int | None]] = []
    trained = set(graph.layers())
    for site in graph.run.sites:
        averages = site.operation == "mean" or "avg_pool" in site.operation
        if site.phase != "model" or not averages or site.dtype not in _WIDE:
            continue
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        nothing = len(sources) == 1 and all(
            _nothing(each, sources[0], site.order) for each in (graph.first, graph.last)
        )
        if nothing and trained & graph.descendants([site.order]):
            found.append((site.order, _centring(graph, sources[0])))
    return found


def _nothing(graph: Graph, source: int, index: int) -> bool:
    """Whether the mean is 0 but for rounding, or one shift for all examples: the normalisation's own, which it learns."""
    entering, mean, spread = graph.reading(source).signal, graph.reading(index).signal, graph.reading(index).spread
    if entering is None or mean is None:
        return False
    shift = spread is not None and mean.rms * spread.examples**0.5 < _NOTHING * entering.rms
    return mean.rms > 0.0 and (mean.rms < _NOTHING * entering.rms or (shift and _centring(graph, source) is not None))


def _centring(graph: Graph, index: int) -> int | None:
    """Return the normalisation that made what is averaged, past shapes and dropout."""
    while graph.site(index).kind in ("shape", "dropout") and len(sources := graph.feeders.get(index, [])) == 1:
        if sources[0][0] < 0:
            return None
        index = sources[0][0]
    return index if normaliser_of(graph, index) is not None else None
