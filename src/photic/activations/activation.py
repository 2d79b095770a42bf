"""Activation: all that photic knows of one scalar function, as a frozen value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
ClosedForm = Callable[[float], float]

_GRID = np.linspace(-60.0, 60.0, 240_001)


@dataclass(frozen=True)
class Activation:
    """An element-wise non-linearity.

    Attributes:
        name: torch's word for it, with its settings if they are not the default: `leaky_relu(0.2)`.
        value: phi(x), vectorised, safe for large |x|.
        slope: phi'(x); at a kink the value that torch's autograd uses.
        low, high: infimum and supremum of phi.
        kinks: where the slope jumps; quadrature is split there.
        flat_intervals: closed intervals where |slope| is below 1 % of the largest |slope| (saturation).
        mean_square: closed form of V(q) = E phi(sqrt(q) z)^2 for z ~ N(0, 1), where there is one.
        slope_square: closed form of D(q) = E phi'(sqrt(q) z)^2, where there is one.
        source: where the formula is from; a key of references.bib and a place, or ''.
    """

    name: str
    value: Function
    slope: Function
    low: float = -math.inf
    high: float = math.inf
    kinks: tuple[float, ...] = ()
    flat_intervals: tuple[tuple[float, float], ...] = ()
    mean_square: ClosedForm | None = None
    slope_square: ClosedForm | None = None
    source: str = ""

    @cached_property
    def largest_slope(self) -> float:
        """The largest |phi'|, found on a grid of step 0.0005 over [-60, 60]."""
        return float(np.max(np.abs(self.slope(_GRID))))

    @cached_property
    def homogeneous(self) -> bool:
        """Whether phi(a x) = a phi(x) for a > 0: the ReLU family, which has no scale of its own."""
        points = np.array([-3.0, -1.0, -0.1, 0.1, 1.0, 3.0])
        return bool(np.allclose(self.value(7.0 * points), 7.0 * self.value(points), rtol=1e-12, atol=1e-12))


def flat_where(slope: Function, *, share: float = 0.01) -> tuple[tuple[float, float], ...]:
    """Return the closed intervals of [-60, 60] where |slope| is below `share` of its largest value.

    An interval that reaches the end of the grid is taken to go on to infinity.
    """
    steepness = np.abs(slope(_GRID))
    flat = steepness < share * steepness.max()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flat.astype(np.int8), [0]))))
    intervals: list[tuple[float, float]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start < 1000 and start > 0 and stop < len(_GRID):  # under 0.5 wide: GELU's minimum, no flat part
            continue
        low = -math.inf if start == 0 else float(_GRID[start])
        high = math.inf if stop == len(_GRID) else float(_GRID[stop - 1])
        intervals.append((low, high))
    return tuple(intervals)
