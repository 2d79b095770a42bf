"""Penalty: by how much more a penalty on a code is weighed than the error, one number beside one number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.told_nothing import held_at_nothing

_HALF = 0.5  # of the formula of the penalty
_MEANS = (
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
)


@dataclass(frozen=True)
class Penalty:
    """Where a penalty meets the error in the loss, what makes it, and what it is to be multiplied by to be weighed as the error is."""

    total: int
    source: int
    factor: float


def heavy_penalty(graph: Graph, *, most: float = 0.5) -> Penalty | None:
    """Return the penalty that holds a code at nothing and is a sum where the error is a mean; None without one, or where both are the same."""
    held = held_at_nothing(graph)
    if held is None:
        return None
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        if site.phase != "loss" or site.operation != "add" or len(sources) != 2 or site.shape:
            continue
        told = [held.site in graph.ancestors([source]) for source in sources]
        if told.count(True) != 1:
            continue
        error, penalty = sources[told.index(True)], sources[told.index(False)]
        weights = _weight(graph, error), _weight(graph, penalty)
        if None not in weights and (factor := (weights[0] or 0.0) / (weights[1] or 1.0)) < most:
            return Penalty(site.order, penalty, factor)
    return None


def _weight(graph: Graph, term: int) -> float | None:
    """Return the weight of one number in a term, by its means, sums and factors; None where it is not made of these."""
    weight, index = 1.0, term
    while True:
        site = graph.site(index)
        below = [
            source for source, _ in graph.feeders.get(index, []) if source >= 0 and graph.site(source).phase == "loss"
        ]
        if site.operation in _MEANS:
            given = [graph.site(source).shape for source, _ in graph.feeders.get(index, []) if source >= 0]
            mean = site.settings.get("reduction", "mean") == "mean"
            return weight / math.prod(given[0]) if mean and given else weight
        if site.shape and site.operation not in ("sum", "mean"):
            return weight
        if len(below) != 1:
            return None
        other = site.settings.get("other")
        if site.operation in ("mul", "div"):
            if not isinstance(other, (int, float)) or not other:
                return None
            if abs(other) != _HALF:
                weight *= abs(other) if site.operation == "mul" else 1.0 / abs(other)
        if site.operation == "mean":
            weight /= max(1, math.prod(graph.site(below[0]).shape)) / max(1, math.prod(site.shape))
        index = below[0]
