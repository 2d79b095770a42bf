"""The exponent of a decay, smaller until the state lasts as long as the sequence."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import Loop, loops
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

FORGETS = 0.5  # a factor that lies below it everywhere leaves a thousandth of the state after ten steps


@remedy(treats=("vanishing-in-time",), changes="function", sources=("tallec2018",), rank=2)
def slower_decay(graph: Graph) -> Prescription | str:
    """exp(a x) in place of the exp(x) by which a loop multiplies its state, with a such that typically exp(-1 / T) of it is kept over T steps.

    What it changes: how long the state lasts, in the same proportions for all units: as if time, or what it is divided by, had another unit.

    When not to: where what came before the last steps is not asked for.
    """
    factors: dict[str, float] = {}
    for loop in loops(graph):
        for index in _decays(graph, loop):
            below = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
            exponent = graph.reading(below[0]).signal if len(below) == 1 else None
            if exponent is not None and exponent.rms > 0.0 and not exponent.nonfinite:
                factors[graph.site(index).name] = 1.0 / (len(loop.sites) * exponent.rms)
    if not factors:
        return "no exponential makes a loop forget within a step or two"
    return Prescription(
        factors=factors, why="a state that lasts as long as the sequence: a smaller exponent for its decay"
    )


def _decays(graph: Graph, loop: Loop) -> list[int]:
    """Return the exponentials that lie far below 1 everywhere and multiply the state of a loop, made of its parameter or handed to it."""
    around = set(loop.sites)
    of_it = {site for p in graph.run.parameters if p.name == loop.parameter for site in p.sites}
    found: list[int] = []
    for site in graph.run.sites:
        signal = graph.reading(site.order).signal
        if site.operation != "exp" or site.phase != "model" or signal is None or not signal.count:
            continue
        used = (
            set(graph.consumers.get(site.order, [])) & around or (graph.ancestors([site.order]) | {site.order}) & of_it
        )
        if used and 0.0 < signal.maximum < FORGETS:
            found.append(site.order)
    return found
