"""The entry that nobody reads in place of one that is read twice."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.records.sites import Site
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("glorot2010",), rank=2)
def other_entry(graph: Graph) -> Prescription | str:
    """Where one of two entries is taken twice, and what is made of the two cancels, the second is the other one.

    What it changes: the index of one of the two: `x[:, 0]` becomes `x[:, 1]`.

    When not to: where there are more entries than two: then nobody but you can tell which one was meant.
    """
    found = one_for_all(graph)
    if found is None or found.how != "cancelled":
        return "no two numbers cancel"
    below = graph.ancestors([found.site])
    taken = [s for s in graph.run.sites if s.order in below and s.operation == "getitem" and _halves(graph, s)]
    if len(taken) != 2 or graph.feeders[taken[0].order][0][0] != graph.feeders[taken[1].order][0][0]:
        return "not one of two entries is taken twice"
    if len({graph.reading(site.order).signal for site in taken}) > 1:
        return "the two entries differ"
    return Prescription(next_entries=(taken[1].name,), why="one entry is read twice and the other never: read both")


def _halves(graph: Graph, site: Site) -> bool:
    """Whether a site takes half of the numbers of the batch, or of what one site makes."""
    sources = [source for source, _ in graph.feeders.get(site.order, [])]
    if len(sources) != 1:
        return False
    whole = graph.run.inputs if sources[0] < 0 else graph.reading(sources[0]).signal
    return whole is not None and 2 * math.prod(site.shape) == whole.count
