"""Entries of a code book, drawn from the codes."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_choice import one_choice
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse", "idle-layer"), changes="weights", sources=("moody1989", "broomhead1988"), rank=1)
def drawn_entries(graph: Graph) -> Prescription | str:
    """Where all examples are nearest to one entry of a table, its entries start as some of what is compared with them.

    What it changes: the first values of the table.

    When not to: where the table was learned before.
    """
    found = one_choice(graph)
    near = [] if found is None else [s for s, _ in graph.feeders.get(found.site, []) if s >= 0]
    if len(near) != 1 or graph.site(near[0]).operation != "cdist":
        return "no examples that differ are nearest to one entry of a table"
    return Prescription(
        drawn_from=(graph.site(near[0]).name,),
        why="one entry is nearest to all: draw the entries from what they stand for",
    )
