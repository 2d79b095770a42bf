"""Whether layers are as they were drawn: nothing was learned in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from photic.diagnosis.graph import Graph
from photic.records.sites import Parameter


def as_drawn(graph: Graph, places: Sequence[int], *, fewest: int = 2) -> bool:
    """Whether all layers among the sites, `fewest` or more, have the variance of torch's default but for chance (3 deviations)."""
    drawn: list[bool] = []
    for index in places:
        facts = graph.first.reading(index).weight
        sizes = [math.prod(p.shape) for p, _ in graph.parameters.get(index, []) if len(p.shape) > 1]
        if graph.site(index).kind == "weight":
            # n numbers drawn evenly have a mean square that deviates by sqrt(0.8 / n) of itself
            room = 3.0 * math.sqrt(0.8 / max(sizes, default=1))
            drawn.append(facts is not None and abs(3.0 * facts.row_square_sum - 1.0) < room)
    return len(drawn) >= fewest and all(drawn)


def drawn_evenly(graph: Graph, index: int, *, rare: float = 1e-3) -> bool:
    """Whether the weights of a layer fill the range that torch draws them from evenly, up to its ends, and nothing beyond.

    What is learned, or drawn otherwise, has numbers beyond 1 / sqrt(fan_in), or none next to it: of n even numbers the largest lies
    below `rare` to the power 1 / n of the end once in a thousand.
    """
    facts = graph.first.reading(index).weight
    held = [(p, r) for p, r in graph.first.parameters.get(index, []) if len(p.shape) > 1]
    if facts is None or len(held) != 1 or not as_drawn(graph, [index], fewest=1):
        return False
    parameter, reading = held[0]
    size = math.prod(parameter.shape)
    end = reading.weight.maximum * math.sqrt(size / parameter.shape[0])
    return rare ** (1.0 / size) <= end <= 1.0 + 1e-6


def one_number(graph: Graph) -> list[Parameter]:
    """Return the weights all of whose numbers are one number before training: an embedding of zeros says nothing of what it takes."""
    read = zip(graph.run.parameters, graph.run.steps[0].parameters, strict=True)
    return [
        parameter
        for parameter, reading in read
        if len(parameter.shape) > 1 and reading.weight.count > 1 and reading.weight.of_one_number
    ]
