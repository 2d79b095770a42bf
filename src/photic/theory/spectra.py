"""The singular values of the input-output Jacobian: what mean-square gains do not tell."""

from __future__ import annotations

import math

from photic.activations import Activation
from photic.theory.moments import slope_square


def gaussian_product_edge(depth: int) -> float:
    """Return the largest squared singular value of a product of `depth` square Gaussian matrices with mean square 1.

    (L + 1)^(L + 1) / L^L, about e (L + 1/2): it grows with depth although the mean square stays 1. For infinite width.

    Example:
        >>> gaussian_product_edge(1)
        4.0
    """
    if depth < 1:
        raise ValueError(f"expected at least one layer, got {depth}")
    return math.exp((depth + 1) * math.log(depth + 1) - depth * math.log(depth))


def quarter_circle_mean() -> float:
    """Return the mean singular value of a square Gaussian matrix with mean square 1: 8 / (3 pi) = 0.849.

    Their geometric mean, the factor on volumes, is exp(-1/2) = 0.607.
    """
    return 8.0 / (3.0 * math.pi)


def mean_squared_singular_value(activation: Activation, *, weight_variance: float, length: float, depth: int) -> float:
    """Return the mean squared singular value of the Jacobian of `depth` layers at a fixed length: chi^L."""
    return (weight_variance * slope_square(activation, variance=length).value) ** depth


def squared_singular_value_variance(activation: Activation, *, length: float, depth: int, orthogonal: bool) -> float:
    """Return the variance of the squared singular values at chi = 1: L (mu_2 / mu_1^2 - 1 - s_1).

    mu_k = E phi'^(2k); s_1 = -1 for Gaussian weights, 0 for orthogonal ones. Orthogonal weights keep all singular
    values together only where the slope hardly varies: tanh with small signals, never ReLU (pennington2017, eq. 16).
    """
    first = slope_square(activation, variance=length).value
    second = slope_square(activation, variance=length, power=4).value
    return depth * (second / first**2 - (1.0 if orthogonal else 0.0))
