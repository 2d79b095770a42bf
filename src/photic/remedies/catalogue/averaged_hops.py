"""Hops over a graph that take the mean of the neighbours in the place of their sum."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.told_nothing import learned
from photic.diagnosis.words import number
from photic.records.sites import INPUT
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_PRODUCTS = ("matmul", "mm", "bmm", "spmm", "sparse_mm")
_GROWS = 10.0  # what the hops make of the size together


@remedy(
    treats=("exploding-in-time", "exploding-gradient"),
    changes="function",
    sources=("gasteiger2019", "li2018"),
    rank=0,
)
def averaged_hops(graph: Graph) -> Prescription | str:
    """Products with a matrix of the batch, hop after hop, divided by the sums of its rows.

    What it changes: the sum over the neighbours becomes their mean, weighed as the matrix says, so that no hop makes rows larger.

    When not to: where how many neighbours there are is what is asked for: then take the logarithm of the degree as a feature.
    """
    hops = [site.order for site in graph.run.sites if site.phase == "model" and _mixes(graph, site.order)]
    chain = [index for index in hops if _apart(graph, index, hops)]
    gains = math.prod(graph.reading(index).gain or 1.0 for index in chain)
    if len(chain) < 2 or gains < _GROWS:
        return "no rows are added up again and again by a matrix of the batch"
    why = f"{len(chain)} products with a matrix of the batch grow {number(gains)} times: divide by the sums of its rows"
    return Prescription(averaged=tuple(graph.site(index).name for index in chain), why=why)


def _mixes(graph: Graph, index: int) -> bool:
    """Whether a product of something that enters with a signal makes that larger."""
    site, sources = graph.site(index), {source for source, _ in graph.feeders.get(index, [])}
    if site.operation not in _PRODUCTS or len(sources) != 2 or not (graph.reading(index).gain or 0.0) > 1.0:
        return False
    given = any(source == INPUT or not learned(graph, source) for source in sources)
    return given and not graph.parameters.get(index)


def _apart(graph: Graph, index: int, hops: list[int]) -> bool:
    """Whether another of them stands above or below it."""
    others = set(hops) - {index}
    return not others.isdisjoint(graph.descendants([index]) | graph.ancestors([index]))
