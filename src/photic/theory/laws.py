"""Closed laws of signal propagation: fans, residual branches, normalisation, dropout, shattering."""

from __future__ import annotations

import math

from photic.activations import Activation
from photic.theory.maps import correlation_map, gradient_gain
from photic.theory.moments import mean_square, slope_square


def entry_gain(activation: Activation, *, fan_out: float, variance: float, length: float) -> float:
    """Return the factor on the mean squared gradient of one entry: fan_out Var[w] E phi'^2.

    `fan_out` is k^2 c_out / (groups stride^2) for a convolution: with a stride an input feeds fewer outputs.
    """
    return gradient_gain(activation, weight_variance=fan_out * variance, length=length)


def norm_gain(activation: Activation, *, fan_in: float, variance: float, length: float) -> float:
    """Return the factor on the squared norm of the gradient: fan_in Var[w] E phi'^2.

    The norm sums over the layer's own units, so its factor has fan_in where an entry's has fan_out: He's `fan_in`
    keeps the norm, He's `fan_out` the variance of an entry. Both agree between layers of equal width.
    """
    return gradient_gain(activation, weight_variance=fan_in * variance, length=length)


def residual_growth(blocks: int, *, branch_scale: float = 1.0) -> float:
    """Return the factor on mean square and squared gradient of `blocks` x + a f(x) whose f keeps the variance.

    (1 + a^2)^L: 2^L for a = 1, and e in the limit for a = 1 / sqrt(L).
    """
    return (1.0 + branch_scale**2) ** blocks


def pre_norm_gradient(blocks: int) -> float:
    """Return |dL/dx_0| / |dL/dx_L| of x + f(norm(x)) with unit branches: sqrt(L + 1), the length being 1 + l."""
    return math.sqrt(blocks + 1.0)


def normalised_gain(activation: Activation) -> float:
    """Return the factor on the gradient norm of linear -> LayerNorm (or RMSNorm) -> activation: sqrt(D(1) / V(1)).

    1 for ReLU and linear, 1.0853 for tanh. For infinite width, with gamma = 1 and beta = 0.
    """
    slope = slope_square(activation, variance=1.0).value
    return math.sqrt(slope / mean_square(activation, variance=1.0).value)


def batch_norm_gain(activation: Activation) -> float:
    """Return the factor on the squared gradient norm of linear -> BatchNorm -> activation, for a large batch.

    D(1) / (V(1) - V_c), with V_c the inner product of the activations of two different examples: BatchNorm divides
    by the variance over the batch only. For ReLU it is pi / (pi - 1), whatever the weights (yang2019, abstract: the
    explosion cannot be removed by tuning).
    """
    apart = correlation_map(activation, weight_variance=1.0, bias_variance=0.0, length=1.0, correlation=0.0)
    slope = slope_square(activation, variance=1.0).value
    return slope / (mean_square(activation, variance=1.0).value - apart)


def linear_batch_norm_gain(batch: int) -> float:
    """Return the same for a linear network and a finite batch: (B - 2) / (B - 3).

    Raises:
        ValueError: for fewer than 4 examples, where it does not exist.
    """
    if batch < 4:
        raise ValueError(f"a finite mean needs at least 4 examples in the batch, got {batch}")
    return (batch - 2.0) / (batch - 3.0)


def dropout_length(
    activation: Activation, *, weight_variance: float, bias_variance: float, keep: float, length: float
) -> float:
    """Return the next mean squared pre-activation under inverted dropout: weight_variance V(q) / keep + bias_variance.

    Source: schoenholz2017, section 4. The gradient gain is divided by `keep` in the same way.
    """
    _check_keep(keep)
    return weight_variance * mean_square(activation, variance=length).value / keep + bias_variance


def dropout_correlation(
    activation: Activation,
    *,
    weight_variance: float,
    bias_variance: float,
    keep: float,
    length: float,
    correlation: float,
) -> float:
    """Return the next correlation of two inputs whose units are dropped independently.

    The length is divided by `keep`, the inner product is not: even equal inputs drift apart, c = 1 is no fixed point,
    and information reaches a finite depth whatever the weights (schoenholz2017, section 4).
    """
    _check_keep(keep)
    inner = correlation_map(
        activation, weight_variance=weight_variance, bias_variance=bias_variance, length=length, correlation=correlation
    )
    after = dropout_length(
        activation, weight_variance=weight_variance, bias_variance=bias_variance, keep=keep, length=length
    )
    return inner * length / after


def _check_keep(keep: float) -> None:
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"the share of units that dropout keeps lies in (0, 1], got {keep}")


def relu_correlation(correlation: float, *, slope: float = 0.0) -> float:
    """Return the next correlation under ReLU or leaky ReLU with any weights and no bias (cho2009, order 1).

    c' = c + (1 - a)^2 / (pi (1 + a^2)) (sqrt(1 - c^2) - c acos c).

    Example:
        >>> round(relu_correlation(0.0), 6), relu_correlation(1.0)
        (0.31831, 1.0)
    """
    c = min(1.0, max(-1.0, correlation))
    share = (1.0 - slope) ** 2 / (math.pi * (1.0 + slope**2))
    return c + share * (math.sqrt(1.0 - c * c) - c * math.acos(c))


def shattering(depth: int, *, correlation: float = 0.0) -> float:
    """Return the correlation of the gradients of two inputs through `depth` He-ReLU layers without bias.

    The product of (1 - acos(c_l) / pi) along the correlation map. It falls as about depth^-3; the 1 / 2^depth of
    balduzzi2017 holds under its assumption that the units' states are independent.
    """
    product, c = 1.0, correlation
    for _ in range(depth):
        product *= 1.0 - math.acos(min(1.0, max(-1.0, c))) / math.pi
        c = relu_correlation(c)
    return product
