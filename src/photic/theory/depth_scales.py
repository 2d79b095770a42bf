"""Fixed points of the maps, their stability, and over how many layers signal, correlation and gradient persist."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from photic.activations import Activation
from photic.theory.maps import correlation_gain, correlation_map, fixed_length, gradient_gain
from photic.theory.moments import length_slope, mean_square, slope_square


def _root(function: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    from scipy.optimize import brentq  # every command imports this module, few ask for a root, and scipy takes long

    return float(brentq(function, low, high, xtol=tolerance))  # pyright: ignore


class FixedPoint(NamedTuple):
    """Where a deep network of one activation ends, and how fast it gets there.

    Attributes:
        length: q*, mean squared pre-activation; 0 when signals die out, infinite when they grow.
        length_slope: slope of the length map there; the point holds when it is below 1.
        correlation: c*, correlation that any two inputs end at; 1 in the ordered phase.
        gain: chi, factor on the mean squared gradient per layer.
        length_scale: xi_q, layers over which a deviation of q shrinks by e.
        correlation_scale: xi_c, layers over which a deviation of c shrinks by e; infinite on the critical line.
        gradient_scale: xi_grad, layers over which the mean squared gradient changes by e; negative when it grows.
    """

    length: float
    length_slope: float
    correlation: float
    gain: float
    length_scale: float
    correlation_scale: float
    gradient_scale: float

    @property
    def phase(self) -> str:
        """`ordered` (gradients vanish), `critical` or `chaotic` (they explode)."""
        if abs(self.gain - 1.0) < 1e-6:
            return "critical"
        return "ordered" if self.gain < 1.0 else "chaotic"


def fixed_point(
    activation: Activation, *, weight_variance: float, bias_variance: float = 0.0, start: float = 1.0
) -> FixedPoint:
    """Return the fixed point that the length map reaches from `start`, with the three depth scales.

    xi_q = -1 / ln(slope of the length map), xi_c = -1 / ln(weight_variance E phi'(u1) phi'(u2)) at c*,
    xi_grad = -1 / ln chi.

    Args:
        weight_variance: fan_in * Var[w].
        bias_variance: Var[b].

    Source: schoenholz2017, equations 9 and 12 and section 5. Holds for infinite width.
    """
    q = fixed_length(activation, weight_variance=weight_variance, bias_variance=bias_variance, start=start)
    if q == 0.0 or math.isinf(q):
        gain = _gain_at_the_limit(activation, weight_variance, q)
        return FixedPoint(q, gain, 1.0, gain, _scale(gain), _scale(gain), _scale(gain))
    slope = weight_variance * length_slope(activation, variance=q)
    gain = gradient_gain(activation, weight_variance=weight_variance, length=q)
    c = _fixed_correlation(activation, weight_variance, bias_variance, q, gain)
    spread = correlation_gain(activation, weight_variance=weight_variance, length=q, correlation=c)
    return FixedPoint(q, slope, c, gain, _scale(slope), _scale(spread), _scale(gain))


def _scale(factor: float) -> float:
    """Return -1 / ln factor: layers per e; infinite at 1, negative above, 0 for a factor of 0."""
    if abs(factor - 1.0) < 1e-12:
        return math.inf
    return -1.0 / math.log(factor) if factor > 0.0 else 0.0


def _gain_at_the_limit(activation: Activation, weight_variance: float, q: float) -> float:
    """Return chi where signals have died out (the slope at 0) or grown without bound."""
    length = 1e-24 if q == 0.0 else 1e12
    return weight_variance * slope_square(activation, variance=length).value


def _fixed_correlation(
    activation: Activation, weight_variance: float, bias_variance: float, q: float, gain: float
) -> float:
    """Return c*: 1 is always a fixed point; where it is unstable (chi > 1), the one below it."""
    if gain <= 1.0 + 1e-9:
        return 1.0

    def moved(c: float) -> float:
        after = correlation_map(
            activation, weight_variance=weight_variance, bias_variance=bias_variance, length=q, correlation=c
        )
        return after - c

    if moved(0.0) <= 1e-12:  # an odd activation without bias: orthogonal inputs stay orthogonal
        return 0.0
    high = 1.0
    for exponent in range(1, 9):  # below c* the map moves up, between c* and 1 it moves down
        high = 1.0 - 10.0**-exponent
        if moved(high) < 0.0:
            return _root(moved, 0.0, high, 1e-10)
    return high


class CriticalPoint(NamedTuple):
    """One point of the critical line chi = 1.

    Attributes:
        length: q* there.
        weight_variance, bias_variance: fan_in * Var[w] and Var[b].
        holds: whether q* is stable; if not, a length a little off runs away and the point is no edge of chaos.
    """

    length: float
    weight_variance: float
    bias_variance: float
    holds: bool


@lru_cache(maxsize=64)  # a network asks for each of its layers
def critical_at(activation: Activation, *, bias_variance: float) -> CriticalPoint | None:
    """Return the critical point of smallest length for a bias variance; None where there is none.

    With weight_variance = 1 / D(q) the bias variance is q - V(q) / D(q); its zero in q is looked for from 1e-6 to 1e4.
    For a homogeneous activation without bias every length is one; 1 is returned.
    """
    if activation.homogeneous:
        if bias_variance > 0.0:
            return None
        slope = slope_square(activation, variance=1.0).value
        return CriticalPoint(1.0, 1.0 / slope, 0.0, True) if slope > 0.0 else None

    def excess(logarithm: float) -> float:
        return _bias_at_rest(activation, logarithm) - bias_variance

    if bias_variance == 0.0:
        origin = _critical_origin(activation)
        if origin is not None:
            return origin
    for (low, below), (high, above) in pairwise(_biases_at_rest(activation)):
        if below - bias_variance <= 0.0 < above - bias_variance:
            q = math.exp(_root(excess, low, high, 1e-12))
            return _critical(activation, q, bias_variance)
    return None


def _bias_at_rest(activation: Activation, logarithm: float) -> float:
    """Return the bias variance that the length `exp(logarithm)` rests with where chi is 1; nan where the slope is 0."""
    q = math.exp(logarithm)
    slope = slope_square(activation, variance=q).value
    return q - mean_square(activation, variance=q).value / slope if slope > 0.0 else math.nan


@lru_cache(maxsize=16)  # a phase diagram asks for each of its bias variances
def _biases_at_rest(activation: Activation) -> tuple[tuple[float, float], ...]:
    grid = [math.log(1e-6) + i * math.log(1e10) / 160 for i in range(161)]
    return tuple((x, _bias_at_rest(activation, x)) for x in grid)


def _critical_origin(activation: Activation) -> CriticalPoint | None:
    """Return the end of the line at q = 0, which activations with phi(0) = 0 and a slope there have: tanh's (0, 1, 0)."""
    slope, small = slope_square(activation, variance=1e-12).value, 1e-6
    moved = mean_square(activation, variance=small).value
    if slope == 0.0 or abs(moved / (slope * small) - 1.0) > 0.01:
        return None
    return CriticalPoint(0.0, 1.0 / slope, 0.0, length_slope(activation, variance=1e-4) / slope < 1.0 + 1e-9)


def _critical(activation: Activation, q: float, bias_variance: float) -> CriticalPoint:
    weight_variance = 1.0 / slope_square(activation, variance=q).value
    holds = weight_variance * length_slope(activation, variance=q) < 1.0 + 1e-9
    return CriticalPoint(q, weight_variance, bias_variance, holds)
