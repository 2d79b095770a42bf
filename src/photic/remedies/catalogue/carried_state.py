"""A state that is made anew at each step, carried on from the step before."""

from __future__ import annotations

from itertools import pairwise

from photic.diagnosis.graph import Graph
from photic.diagnosis.silenced import fresh_cells, nothing_made
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("hochreiter1997", "williams1990"), rank=1)
def carried_state(graph: Graph) -> Prescription | str:
    """Where a matrix multiplies a state of zeros at every step, it is given what the step before made in that shape.

    What it changes: the state of a loop that is written out goes on from step to step.

    When not to: where steps are to know nothing of each other.
    """
    empty = {index for one in nothing_made(graph) for index in one.layers if not graph.feeders.get(index)}
    cells = [list(one.layers) for one in fresh_cells(graph)]
    pairs = [pair for calls in cells for pair in pairwise(calls)] or [
        pair for p in graph.run.parameters if empty & set(p.sites) for pair in _steps(graph, sorted(p.sites))
    ]
    if not pairs:
        return "no matrix multiplies a state of zeros at each of several steps"
    return Prescription(
        carried=tuple((graph.site(source).name, graph.site(taker).name) for source, taker in pairs),
        why="a state that is made anew at each step remembers nothing: carry it on",
    )


def _steps(graph: Graph, products: list[int]) -> list[tuple[int, int]]:
    """Return (last value of the state's shape that a step makes, product of the next step)."""
    found: list[tuple[int, int]] = []
    for before, taker in pairwise(products):
        facts, made = graph.reading(taker).weight, graph.descendants([before])
        shape = None if facts is None else (*graph.site(taker).shape[:-1], facts.fan_in)
        alike = [index for index in made if index < taker and graph.site(index).shape == shape]
        if graph.feeders.get(taker) or not alike:
            return []
        found.append((max(alike), taker))
    return found
