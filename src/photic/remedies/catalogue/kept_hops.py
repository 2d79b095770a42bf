"""Hops over a graph that keep what the first one said."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.smoothed import smoothed
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_ON = 0.8  # the paper's alpha is 1 - this: 0.2, or 0.1


@remedy(treats=("rank-collapse",), changes="function", sources=("gasteiger2019", "chen2020gcnii", "li2018"), rank=1)
def kept_hops(graph: Graph) -> Prescription | str:
    """What the first hop gives is added to what each later one gives, which hands on four fifths of what it is given.

    What it changes: rows are mixed as often as before, and keep what they and their neighbours said at first; what all rows have in common
    grows to five times as much and no further, as in a personalised PageRank.

    When not to: where all rows are to agree.
    """
    found = smoothed(graph)
    if found is None:
        return "no rows are mixed again and again until they lie on one line"
    first, *later = found.hops
    return Prescription(
        skips=tuple((graph.site(first).name, graph.site(hop).name) for hop in later),
        factors={graph.site(hop).name: _ON for hop in later},
        why="hop after hop the rows become one: add what the first hop gives at each (Gasteiger et al. 2019)",
    )
