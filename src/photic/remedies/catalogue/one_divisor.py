"""One divisor for all examples."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import averages, one_for_all
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("xu2019gin",), rank=1)
def one_divisor(graph: Graph) -> Prescription | str:
    """A sum divided by one number for all examples, in place of what it grows with.

    What it changes: a mean over neighbours of which all are alike is the same for every graph; the sum says how many there are.

    When not to: where the examples differ in size by orders of magnitude, and features tell them apart.
    """
    found = one_for_all(graph)
    if found is None or found.how != "averaged":
        return "no sum is divided by what it has grown with"
    sites = [site for site in graph.run.sites if averages(graph, site.order)]
    divisors = {site.name: _divisor(graph, site.order) for site in sites}
    return Prescription(
        one_divisor=divisors, why="a sum tells how many there are, a mean of what is all alike does not"
    )


def _divisor(graph: Graph, index: int) -> float:
    """Return the size of the divisor: of the two that enter, the one of fewer numbers."""
    sources = [source for source, _ in graph.feeders[index] if source >= 0]
    signals = [signal for source in sources if (signal := graph.reading(source).signal) is not None]
    return float(min(signals, key=lambda signal: signal.count).rms)
