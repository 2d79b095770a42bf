"""Epsilons of the network: numbers that keep a normalisation from dividing by 0, and are larger than what they are added to."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.runs import SiteReading

DROWNED = 100.0  # times what it is added to: then a normalisation gives a tenth of what it should
_SMALL = 1e-3  # a larger number that is added is meant


@dataclass(frozen=True)
class Drowned:
    """A site whose epsilon drowns what it is added to: the epsilon, and the size of that (a variance, a norm)."""

    site: int
    epsilon: float
    size: float


def drowned(graph: Graph) -> list[Drowned]:
    """Return the normalisations of the model, torch's or written out, that divide by their epsilon, first and last.

    The mean square of all that enters stands for the variance that is divided by: it is no smaller. What is exactly 0 is none.
    """
    first, last = graph.first, graph.last
    found: list[Drowned] = []
    for site in graph.run.sites:
        one, other = _drowned(first, site.order), _drowned(last, site.order)
        if one is not None and other is not None:
            found.append(one)
    return found


def _drowned(graph: Graph, index: int) -> Drowned | None:
    site = graph.site(index)
    if site.phase != "model":
        return None
    known = {"normalisation": "eps", "sum": "other", "activation": "min"}.get(site.kind)
    epsilon = None if known is None else site.settings.get(known)
    entering = [graph.reading(source) for source, _ in graph.feeders.get(index, []) if source >= 0]
    if not isinstance(epsilon, (int, float)) or not epsilon > 0.0 or len(entering) != 1:
        return None
    rms = _rms(entering[0])
    size = rms * rms if known == "eps" else rms
    if known != "eps" and (epsilon > _SMALL or not _divides(graph, index)):
        return None
    return Drowned(index, float(epsilon), size) if 0.0 < DROWNED * size < epsilon else None


def _rms(reading: SiteReading) -> float:
    return 0.0 if reading.signal is None or reading.signal.nonfinite else reading.signal.rms


def _divides(graph: Graph, index: int) -> bool:
    """Whether what a site gives is what is divided by: past a root and shapes, in a quotient of two signals."""
    while len(after := graph.consumers.get(index, [])) == 1:
        index = after[0]
        site = graph.site(index)
        if site.operation in ("rsqrt", "reciprocal"):
            return True
        if site.operation == "div":
            return len(graph.feeders.get(index, [])) == 2
        if site.operation != "sqrt" and site.kind != "shape":
            return False
    return False
