"""The operation left out that makes all examples one."""

from __future__ import annotations

from photic.diagnosis.by_itself import levelled
from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import QUOTIENTS, one_for_all
from photic.diagnosis.told_the_same import told_the_same
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only", "idle-layer"), changes="function", sources=("glorot2010", "ba2016"), rank=1)
def left_out(graph: Graph) -> Prescription | str:
    """The rounding, the limits, the mask of everything or the normalisation left out that makes all examples of a batch one, or all numbers.

    What it changes: the numbers pass as they come; of roundings all are left out that give nothing but 0, those of weights too. Of a
    difference that is 0 throughout, of the same thing made twice, the first goes on.

    When not to: where the rounding or the limit is wanted: then its scale is wrong (a factor of 255, decibels for a power), and to put
    that right keeps it.
    """
    found = one_for_all(graph)
    if found is None and (level := levelled(graph)):
        names = tuple(graph.site(index).name for index, _ in level)
        return Prescription(removed=names, why="a number less its own mean is 0: leave the normalisation out")
    if found is None and (nought := _of_the_same(graph)):
        return Prescription(
            removed=nought, why="a number less the same number is 0: go on with the first, or take another from it"
        )
    if found is None and (same := told_the_same(graph)) is not None:
        names = tuple(graph.site(index).name for index in same.sites)
        return Prescription(
            removed=names, why="it makes all examples of a batch the same for the layers above: leave it out"
        )
    if found is None or found.how not in ("rounded", "limited", "masked", "normalised"):
        return "no rounding, limit, mask or normalisation makes all examples one"
    if graph.site(found.site).operation in QUOTIENTS:
        return "it is a quotient that is rounded, and no number"
    site, same = graph.site(found.site), [graph.site(found.site).name]
    if found.how == "rounded" and site.kind == "activation":
        same = [one.name for one in graph.run.sites if one.operation == site.operation and _nothing(graph, one.order)]
    return Prescription(
        removed=tuple(same), why=f"{site.operation} makes all examples of a batch the same: leave it out"
    )


def _of_the_same(graph: Graph) -> tuple[str, ...]:
    """Return the differences of two signals that are no nought and leave nothing, first and last, though a gradient arrives."""
    found: list[str] = []
    for site in graph.run.sites:
        sources = {source for source, _ in graph.feeders.get(site.order, [])}
        if site.operation != "sub" or site.phase != "model" or len(sources) != 2 or min(sources) < 0:
            continue
        steps = (graph.first, graph.last)
        if all(_nothing(each, site.order) and each.gradient_norm(site.order) for each in steps) and not any(
            _nothing(each, source) for each in steps for source in sources
        ):
            found.append(site.name)
    return tuple(found)


def _nothing(graph: Graph, index: int) -> bool:
    signal = graph.reading(index).signal
    return signal is not None and signal.rms == 0.0
