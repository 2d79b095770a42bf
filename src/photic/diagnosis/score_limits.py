"""Score limits: the largest score that a softmax of the loss can be given, whatever the network learns, and what keeps it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.normalisers import normaliser_of

_BOUNDED = ("tanh", "hardtanh", "softsign")  # between -1 and 1
_PRODUCTS = ("matmul", "mm", "bmm", "einsum", "linear")
_LENGTHS = ("norm", "vector_norm", "linalg_vector_norm")


@dataclass(frozen=True)
class Limit:
    """Scores lie between -largest and largest; `site` is the squashing, or the normaliser of one of two codes, that sees to it."""

    largest: float
    site: int


def limit_of(graph: Graph, index: int) -> Limit | None:
    """Return what limits the numbers that a site gives; None where nothing known does.

    A product of two codes of fixed length is a cosine times both lengths, and a fixed factor scales the limit.
    """
    site = graph.site(index)
    sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    if site.operation in _BOUNDED or site.operation == "cosine_similarity":
        return Limit(1.0, index)
    if site.operation == "masked_fill" and sources:  # who is left out has no score
        return limit_of(graph, sources[0])
    if len(sources) == 1 and site.kind == "shape":
        return limit_of(graph, sources[0])
    other = site.settings.get("other")
    if len(sources) == 1 and site.operation in ("mul", "div") and isinstance(other, (int, float)) and other:
        if "reflected" in site.settings and site.operation == "div":
            return None
        below = limit_of(graph, sources[0])
        factor = abs(other) if site.operation == "mul" else 1.0 / abs(other)
        return None if below is None else Limit(below.largest * factor, below.site)
    if len(sources) == 1 and site.operation in _PRODUCTS:
        made = _made_of_weights(graph, index)
        sources = [*sources, made] if made is not None else sources
    if len(sources) == 2 and site.operation in _PRODUCTS:
        one, two = (_length(graph, source) for source in sources)
        return None if one is None or two is None else Limit(one.largest * two.largest, one.site)
    return None


def _made_of_weights(graph: Graph, index: int) -> int | None:
    """Return the site that made the matrix which a product uses, out of trained weights alone, where another one did."""
    if any(len(p.shape) < 2 for p, _ in graph.parameters.get(index, [])):
        return None  # a bias has no limit
    below = {place for p, _ in graph.parameters.get(index, []) for place in p.sites if place < index}
    return max(below - graph.ancestors([index]), default=None)


def lowest_loss(limit: float, classes: int) -> float:
    """Return the least cross-entropy over so many classes of scores between -limit and limit."""
    return math.log1p((classes - 1) * math.exp(-2.0 * limit))


def _length(graph: Graph, index: int) -> Limit | None:
    """Return the length that every row has which a site gives, past shapes: those that were divided by their own length."""
    while (
        graph.site(index).kind == "shape" and len(sources := graph.feeders.get(index, [])) == 1 and sources[0][0] >= 0
    ):
        index = sources[0][0]
    signal, reading = normaliser_of(graph, index), graph.reading(index).signal
    if signal is None and reading is not None and (measured := _of_own_length(graph, index)) is not None:
        return Limit(reading.rms * math.sqrt(measured), index)
    if signal is None or reading is None or graph.site(index).operation != "div":
        return None
    shape = graph.site(index).shape
    rows = (shape[:-1], (*shape[:-1], 1))
    measured = any(
        graph.site(after).operation in _LENGTHS and graph.site(after).shape in rows
        for after in graph.consumers.get(signal, [])
    )
    return Limit(reading.rms * math.sqrt(shape[-1]), index) if measured and shape else None


def _of_own_length(graph: Graph, index: int) -> int | None:
    """Return how many numbers have a row of weights that are divided by the length of their rows; None of anything else."""
    site = graph.site(index)
    weights = {p.name for p, _ in graph.parameters.get(index, []) if len(p.shape) == 2 and p.shape == site.shape}
    if site.operation != "div" or len(weights) != 1:
        return None
    lengths = [i for i in graph.ancestors([index]) if graph.site(i).operation in _LENGTHS]
    rows = (site.shape[:-1], (*site.shape[:-1], 1))
    own = [
        i for i in lengths if weights & {p.name for p, _ in graph.parameters.get(i, [])} and graph.site(i).shape in rows
    ]
    return site.shape[-1] if own else None
