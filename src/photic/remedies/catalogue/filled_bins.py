"""Numbers that are binned, brought into the range of the bins."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_choice import one_choice
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_BINS, _CASTS = ("bucketize", "searchsorted"), ("long", "int")


@remedy(treats=("idle-layer", "rank-collapse"), changes="function", sources=("paszke2017",), rank=1)
def filled_bins(graph: Graph) -> Prescription | str:
    """Where all examples fall into one bin, what is binned is brought into the range of the edges, or of the table's rows.

    What it changes: the numbers go from their smallest to their largest, as in the first batch, to those of the bins.

    When not to: where the edges mean something that the numbers are to be measured by; then bring both to one unit.
    """
    found = one_choice(graph)
    site = None if found is None else graph.site(found.site)
    if found is None or site is None or site.operation not in (*_BINS, *_CASTS):
        return "no examples that differ fall into one bin"
    rows = [p.shape[0] for index in found.readers for p, _ in graph.parameters.get(index, []) if len(p.shape) > 1]
    if site.operation in _CASTS and not rows:
        return "it is not known how many rows the table has"
    return Prescription(
        ranged={site.name: min(rows, default=0)},
        why="all examples fall into one bin: bring them into the range of the edges",
    )
