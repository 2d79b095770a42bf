"""The mean-field maps of a fully connected layer: length, gradient gain, correlation."""

from __future__ import annotations

import math

from photic.activations import Activation
from photic.theory.moments import mean_square, pair_mean, slope_square


def length_map(activation: Activation, *, weight_variance: float, bias_variance: float, length: float) -> float:
    """Return the mean squared pre-activation of the next layer.

    q' = weight_variance * E phi(sqrt(q) z)^2 + bias_variance.

    Args:
        weight_variance: fan_in * Var[w]; no unit.
        bias_variance: Var[b].
        length: q, mean squared pre-activation; at least 0.

    Source: poole2016, equation 3. Holds for infinite width.

    Example:
        >>> from photic.activations import find
        >>> length_map(find("relu"), weight_variance=2.0, bias_variance=0.0, length=3.0)
        3.0
    """
    return weight_variance * mean_square(activation, variance=length).value + bias_variance


def gradient_gain(activation: Activation, *, weight_variance: float, length: float) -> float:
    """Return the factor by which one layer multiplies the mean squared gradient.

    chi = weight_variance * E phi'(sqrt(q) z)^2. Below 1 the gradient vanishes, above 1 it explodes.

    Args:
        weight_variance: fan_in * Var[w] for the norm, fan_out * Var[w] for the variance of an entry.
        length: q, mean squared pre-activation; at least 0.

    Source: schoenholz2017, definition of chi_1. Holds for infinite width.

    Example:
        >>> from photic.activations import find
        >>> gradient_gain(find("relu"), weight_variance=2.0, length=1.0)
        1.0
    """
    return weight_variance * slope_square(activation, variance=length).value


def fixed_length(
    activation: Activation,
    *,
    weight_variance: float,
    bias_variance: float = 0.0,
    start: float = 1.0,
    steps: int = 10_000,
) -> float:
    """Return the length q* at which the length map settles, by iteration from `start`.

    Returns 0 or infinity when the length dies out or grows without bound.
    """
    q = start
    for _ in range(steps):
        after = length_map(activation, weight_variance=weight_variance, bias_variance=bias_variance, length=q)
        if not after < 1e30:
            return math.inf
        if after < 1e-30:
            return 0.0
        if abs(after - q) <= 1e-13 * q:
            return after
        q = after
    return q


def depth_scale(gain: float) -> float:
    """Return over how many layers the mean squared gradient changes by a factor e: 1 / |ln chi|.

    Infinite on the critical line. Nets are trainable to a depth of about six scales (schoenholz2017, section 5).
    """
    return math.inf if gain == 1.0 else 1.0 / abs(math.log(gain))


def critical_point(activation: Activation, *, length: float) -> tuple[float, float]:
    """Return (weight_variance, bias_variance) on the critical line chi = 1 whose fixed length is `length`.

    weight_variance = 1 / D(q), bias_variance = q - V(q) / D(q); only points with bias_variance >= 0 exist.
    """
    slope = slope_square(activation, variance=length).value
    return 1.0 / slope, length - mean_square(activation, variance=length).value / slope


def correlation_map(
    activation: Activation, *, weight_variance: float, bias_variance: float, length: float, correlation: float
) -> float:
    """Return the correlation of two inputs one layer on, both of length q at the fixed point of the length map.

    c' = (weight_variance E phi(u1) phi(u2) + bias_variance) / q, with u1, u2 normal of variance q, correlation c.

    Source: poole2016, equation 5.
    """
    inner = pair_mean(activation.value, variance=length, correlation=correlation)
    return (weight_variance * inner + bias_variance) / length


def correlation_gain(activation: Activation, *, weight_variance: float, length: float, correlation: float) -> float:
    """Return the slope of the correlation map: weight_variance E phi'(u1) phi'(u2).

    At c = 1 it is the gradient gain chi. It is also the factor on the inner product of the gradients of two inputs.

    Source: schoenholz2017, section 3.
    """
    if correlation >= 1.0:
        return gradient_gain(activation, weight_variance=weight_variance, length=length)
    return weight_variance * pair_mean(activation.slope, variance=length, correlation=correlation)
