"""A table of places read row by row, where one row was read for all."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_row import spread_row
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer", "stalled-training"), changes="function", sources=("vaswani2017attention",), rank=1)
def every_row(graph: Graph) -> Prescription | str:
    """A trained table of which one row is added at all places gives each place the row of its own.

    What it changes: the first rows of the table, as many as there are places; they were counted along an axis of length 1.

    When not to: where the row stands for something that all places share.
    """
    rows = tuple((graph.site(table).name, graph.site(total).name) for table, total in spread_row(graph))
    if not rows:
        return "no table gives one row to all places"
    return Prescription(every_row=rows, why="count the places along the axis on which they lie: a row for each")
