"""Signed divisors: a signal divided by a mean, or a sum, of numbers of both signs, which lies as near to 0 as chance has it."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph

_BETWEEN = {"add", "sub", "clamp", "clamp_min", "unsqueeze", "expand", "view", "reshape", "getitem"}
_MEANS = {"mean", "sum"}
_POSITIVE = {"exp", "exp2", "softmax", "relu", "relu6", "abs", "pow", "square", "sigmoid", "softplus", "norm", "sqrt"}
_ONE_SIGN = 0.5  # of its root mean square: numbers whose mean lies farther out have one sign for the most part


def signed_divisors(graph: Graph) -> list[tuple[int, int]]:
    """Return (quotient, mean) of each quotient whose divisor, one for several numbers, is a mean or a sum that has both signs.

    The divisor is the operand of fewer numbers, of which the quotient has more.
    """
    found: list[tuple[int, int]] = []
    for site in graph.run.sites:
        if site.operation != "div" or site.phase != "model":
            continue
        for source, _ in graph.feeders.get(site.order, []):
            if source < 0 or math.prod(graph.site(source).shape) >= math.prod(site.shape):
                continue
            mean = _mean(graph, source)
            if mean is not None and _both_signs(graph, mean):
                found.append((site.order, mean))
    return found


def _mean(graph: Graph, index: int) -> int | None:
    """Return the mean or the sum that a divisor is made of, by nothing but shapes and what keeps it from 0."""
    while graph.site(index).operation not in _MEANS:
        below = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        if graph.site(index).operation not in _BETWEEN or len(below) != 1:
            return None
        index = below[0]
    return index


def _both_signs(graph: Graph, index: int) -> bool:
    """Whether a mean may have both signs, and lies about 0: not that of numbers which are made positive, however few are large."""
    below = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    signal = graph.reading(index).signal
    if any(graph.site(source).operation in _POSITIVE for source in below):
        return False
    return signal is not None and signal.rms > 0.0 and abs(signal.mean) < _ONE_SIGN * signal.rms
