"""Loud factor: a single number that multiplies the scores until they are sure and wrong."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph

_LOUD = 10.0  # times as large after the product as before it


@dataclass(frozen=True)
class LoudFactor:
    """A product of the scores with one number.

    Attributes:
        site: the product, or the quotient.
        times: how many times as large what it gives is as what it takes.
    """

    site: int
    times: float


def of_one_signal(graph: Graph, index: int) -> bool:
    """Whether a site takes one signal alone, and no parameter: what it multiplies that by no layer makes."""
    return len({source for source, _ in graph.feeders.get(index, [])}) == 1 and not graph.parameters.get(index)


def loud_factor(graph: Graph) -> LoudFactor | None:
    """Return the product with one number that makes the signal most times as large on its way to an output; None below ten times.

    Above all layers alone: a factor below a layer belongs to what enters it.
    """
    outputs, layers = set(graph.run.outputs), set(graph.layers())
    found: list[LoudFactor] = []
    for site in graph.run.sites:
        if site.operation not in ("mul", "div") or site.phase != "model":
            continue
        above = graph.descendants([site.order])
        if not outputs & (above | {site.order}) or layers & above:
            continue
        sizes = {source: _size(graph, source) for source, _ in graph.feeders.get(site.order, []) if source >= 0}
        several = [source for source, (count, _) in sizes.items() if count > 1]
        alone = (
            isinstance(site.settings.get("other"), (int, float))
            or len(sizes) > len(several)
            or _scalar(graph, site.order)
        )
        if len(several) != 1 or not alone:
            continue
        before, (_, after) = sizes[several[0]][1], _size(graph, site.order)
        if before > 0.0 and after > _LOUD * before:
            found.append(LoudFactor(site.order, after / before))
    return max(found, key=lambda one: one.times, default=None)


def _scalar(graph: Graph, index: int) -> bool:
    """Whether a parameter that the site takes is a single number."""
    held = graph.parameters.get(index, [])
    return bool(held) and all(parameter.shape in ((), (1,)) for parameter, _ in held)


def _size(graph: Graph, index: int) -> tuple[int, float]:
    signal = graph.reading(index).signal
    return (0, 0.0) if signal is None else (signal.count, signal.rms)
