"""Finite width: by how much one network of this width may differ from the infinite one."""

from __future__ import annotations

import math
from typing import NamedTuple

from photic.activations import Activation
from photic.theory.moments import slope_square

BEYOND_FORMULA = 1.4  # measured variances exceed kappa/n by up to this factor where the activation saturates
PER_LAYER = 0.03  # and the spread of input norms and quadrature of sums adds this much to the log per layer


class Band(NamedTuple):
    """Centre and three standard deviations of the log of a squared gradient norm, relative to infinite width."""

    shift: float
    deviation: float


def kappa(activation: Activation, *, length: float) -> float:
    """Return n times the variance that one layer of width n adds to log |gradient|^2.

    kappa = 3 E phi'^4 / (E phi'^2)^2 - 1: 5 for ReLU, 2 for a linear layer. Its sum over layers, divided by their
    widths, is the `sum of reciprocal widths` that governs gradients at finite width (hanin2018, theorem 1).
    """
    second = slope_square(activation, variance=length).value
    square = second * second
    if square == 0.0:  # so far into saturation that the quadrature meets no slope
        return 0.0
    return 3.0 * slope_square(activation, variance=length, power=4).value / square - 1.0


def band(beta: float, layers: int) -> Band:
    """Return the band for the log of |gradient|^2 after layers whose kappa/n sum to `beta`.

    The mean of the log lies beta/2 below the log of the mean (a lognormal's), and its deviation is
    sqrt(1.4 beta); three of them plus 0.03 per layer is the band.
    """
    return Band(-beta / 2.0, 3.0 * math.sqrt(BEYOND_FORMULA * max(beta, 0.0)) + PER_LAYER * layers)
