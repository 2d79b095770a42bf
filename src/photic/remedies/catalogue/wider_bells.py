"""Radial basis functions as wide as their inputs lie apart."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.diagnosis.rules.dead_units import dead_units
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("dead-units", "class-prior-only"), changes="function", sources=("broomhead1988",), rank=1)
def wider_bells(graph: Graph) -> Prescription | str:
    """The exponent of a hidden exponential divided by its measured size, so that it lies about -1.

    What it changes: the width of radial basis functions (a Gaussian becomes wider by the root of the factor), a kernel, a decay.

    When not to: where almost all distances are meant to count nothing.
    """
    found, lost = dead_units(graph, None), one_for_all(graph)
    if lost is not None and lost.how == "underflowed":
        names = (graph.site(lost.site).name,)
    elif found is not None:
        names = found.sites
    else:
        return "no unit is dead on every example"
    factors: dict[str, float] = {}
    for name in names:
        index = graph.run.site(name).order
        signals = [graph.reading(source).signal for source, _ in graph.feeders.get(index, []) if source >= 0]
        if graph.site(index).operation == "exp" and signals and signals[0] is not None and signals[0].mean < -1.0:
            factors[name] = -1.0 / signals[0].mean
    if not factors:
        return "no exponential of large negative numbers is hidden in the network"
    return Prescription(factors=factors, why="bells as wide as the inputs lie apart: exponents of about -1")
