"""What is written into a copy of some rows, written into the rows."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.unheard import dropped_results
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_WRITES = ("setitem", "copy", "index_put")


@remedy(treats=("idle-layer",), changes="function", sources=("paszke2017", "harris2020"), rank=1)
def rows_in_place(graph: Graph) -> Prescription | str:
    """Rows that a mask or list of places took out of a value, and that were written into, are put back into it.

    What it changes: what comes after sees what was written; x[rows][:, 0] = y does what x[rows, 0] = y says.

    When not to: where the rows were copied to be changed beside the value.
    """
    pairs: list[tuple[str, str]] = []
    for one in dropped_results(graph):
        if graph.site(one.end).operation not in _WRITES:
            continue
        made = one.made_in(graph)
        for rows, _ in graph.feeders.get(one.end, []):
            if rows < 0 or rows in made or graph.site(rows).operation != "getitem":
                continue
            whole = [
                s for s, _ in graph.feeders.get(rows, []) if s >= 0 and graph.site(s).dtype == graph.site(rows).dtype
            ]
            if any(place > one.end for source in whole for place in graph.consumers.get(source, [])):
                pairs.append((graph.site(rows).name, graph.site(one.end).name))
    if not pairs:
        return "nothing that trained layers make is written into a copy of rows of a value that is used afterwards"
    return Prescription(
        written_back=tuple(pairs), why="rows taken by a mask are a copy: put back what is written into them"
    )
