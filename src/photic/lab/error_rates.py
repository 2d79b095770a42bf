"""Error rates: which of them are statistically as good as the best."""

from __future__ import annotations

import math
from collections.abc import Mapping


def two_proportions(one: float, other: float, count: int) -> float:
    """Return the two-sided p of two error rates on `count` examples each being equal, by the pooled normal test."""
    pooled = (one + other) / 2.0
    z = abs(one - other) / math.sqrt(2.0 * pooled * (1.0 - pooled) / count)
    return math.erfc(z / math.sqrt(2.0))


def best_group(column: Mapping[str, float], count: int) -> list[str]:
    """Return the rows, in percent of `count` examples, that do not differ from the best of their column at p = 0.005."""
    best = min(column.values())
    return [name for name, error in column.items() if two_proportions(error / 100, best / 100, count) >= 0.005]
