"""Positions along the axis of time."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.records.sites import INPUT
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_TABLES = ("getitem", "embedding", "narrow", "slice")


@remedy(treats=("mixed-examples",), changes="function", sources=("vaswani2017attention",), rank=0)
def positions_in_time(graph: Graph) -> Prescription | str:
    """Rows of a table of positions, one for each example of the batch, become one for each step of the sequence.

    What it changes: what is added: the first rows of the table along the second axis. The encoding of torch's tutorial, `x + pe[:x.size(0)]`,
    takes the first axis for time; with `batch_first=True` it gives all steps of an example the same position.

    When not to: where the first axis is time, or a row belongs to an example for good.
    """
    sizes = {graph.site(index).shape[0] for index in graph.run.outputs if graph.site(index).shape}
    size = sizes.pop() if len(sizes) == 1 else 0
    fed = graph.descendants(graph.consumers.get(INPUT, [])) | set(graph.consumers.get(INPUT, []))
    found: list[tuple[str, str]] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        if site.operation != "add" or site.phase != "model" or len(site.shape) != 3 or not site.shape[1] > 1 < size:
            continue
        if len(graph.feeders.get(site.order, [])) == 1 and site.shape[0] == size and "other" not in site.settings:
            found.append((site.name, site.name))  # something constant is added, a slice of a buffer perhaps
        for source in sources if len(sources) == 2 else []:
            apart = graph.site(source).shape == (size, 1, site.shape[2])
            table = _table(graph, source) if apart and source not in fed else None
            if table is not None:
                found.append((graph.site(table).name, site.name))
    if not found:
        return "no row of a table is added to all steps of each example"
    return Prescription(
        positions=tuple(found), why="positions belong to the steps of a sequence, not to the examples of a batch"
    )


def _table(graph: Graph, index: int) -> int | None:
    """Return where the rows are taken, past shapes."""
    while graph.site(index).operation not in _TABLES:
        sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        if graph.site(index).kind != "shape" or len(sources) != 1:
            return None
        index = sources[0]
    return index
