"""One row: a trained table of places of which one row is read and added at all of them."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph


def spread_row(graph: Graph) -> list[tuple[int, int]]:
    """Return the tables of which a single row is read and added at several places, no more than it has rows, with the sums."""
    found: list[tuple[int, int]] = []
    for index in graph.layers():
        shape = graph.site(index).shape
        tables = [p.shape for p, _ in graph.parameters.get(index, []) if len(p.shape) == 2 and p.trainable]
        once = all(len(p.sites) == 1 for p, _ in graph.parameters.get(index, []))
        if graph.site(index).operation != "embedding" or len(tables) != 1 or not once or math.prod(shape[:-1]) != 1:
            continue
        for total in graph.consumers.get(index, []):
            made = graph.site(total).shape
            if graph.site(total).operation == "add" and len(made) > 2 and 1 < made[-2] <= tables[0][0]:
                found.append((index, total))
    return found
