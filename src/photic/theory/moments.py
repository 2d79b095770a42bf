"""Moments of an activation whose pre-activation is normal: E phi, E phi^2, E phi'^2, with an error estimate."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from photic.activations import Activation

Array = NDArray[np.float64]
_REACH = 12.0  # standard deviations: the normal's mass beyond is 4e-33


class Estimate(NamedTuple):
    """A number and an estimate of its absolute error."""

    value: float
    error: float


@lru_cache(maxsize=8)
def _legendre(nodes: int) -> tuple[Array, Array]:
    x, w = np.polynomial.legendre.leggauss(nodes)
    return x, w


@lru_cache(maxsize=32)
def _grid(kinks: tuple[float, ...], panels: int, nodes: int) -> tuple[Array, Array]:
    """Return places, in panels split at the kinks, and the mass of the normal at each; an activation asks three times for the same."""
    edges = np.unique(np.concatenate((np.linspace(-_REACH, _REACH, panels + 1), np.array(kinks, dtype=np.float64))))
    x, w = _legendre(nodes)
    half = np.diff(edges)[:, None] / 2.0
    z = edges[:-1, None] + half * (x[None, :] + 1.0)
    density = np.exp(-np.square(z) / 2.0) / math.sqrt(2.0 * math.pi)
    mass = half * w[None, :] * density
    z.flags.writeable = mass.flags.writeable = False
    return z, mass


def expectation(function: Callable[[Array], Array], *, kinks: tuple[float, ...] = (), panels: int = 24) -> Estimate:
    """Return E function(z) for z ~ N(0, 1), by Gauss-Legendre quadrature on panels split at the kinks.

    The error estimate is the difference between 20 and 12 nodes per panel. Gauss-Hermite quadrature is poor at
    kinks and its weights overflow above some 160 nodes; panels have neither fault.
    """
    inside = tuple(sorted({kink for kink in kinks if -_REACH < kink < _REACH}))
    values = [float(np.sum(mass * function(z))) for z, mass in (_grid(inside, panels, nodes) for nodes in (12, 20))]
    return Estimate(values[1], abs(values[1] - values[0]))


def _panels(activation: Activation, deviation: float) -> int:
    """More panels where the normal is wide beside the curve's own scale of about 1."""
    return 24 if activation.homogeneous else int(min(400, 24 + 24 * deviation))


def _under(function: Callable[[Array], Array], activation: Activation, mean: float, variance: float) -> Estimate:
    deviation = math.sqrt(variance)
    if deviation == 0.0:
        return Estimate(float(function(np.array([mean]))[0]), 0.0)
    kinks = tuple((kink - mean) / deviation for kink in (*activation.kinks, 0.0))
    return expectation(lambda z: function(mean + deviation * z), kinks=kinks, panels=_panels(activation, deviation))


def _check(variance: float) -> None:
    if not variance >= 0.0 or not math.isfinite(variance):
        raise ValueError(f"the variance of a pre-activation is a finite number of at least 0, got {variance}")


def mean(activation: Activation, *, variance: float, mean: float = 0.0) -> Estimate:
    """Return E phi(x) for x ~ N(mean, variance).

    Raises:
        ValueError: if `variance` is negative or not finite.
    """
    _check(variance)
    return _under(activation.value, activation, mean, variance)


def mean_square(activation: Activation, *, variance: float, mean: float = 0.0) -> Estimate:
    """Return E phi(x)^2 for x ~ N(mean, variance); V(q) of poole2016 when the mean is 0.

    Raises:
        ValueError: if `variance` is negative or not finite.
    """
    _check(variance)
    if mean == 0.0 and variance > 0.0 and activation.mean_square is not None:
        return Estimate(float(activation.mean_square(variance)), 0.0)
    return _under(lambda x: np.square(activation.value(x)), activation, mean, variance)


def slope_square(activation: Activation, *, variance: float, mean: float = 0.0, power: int = 2) -> Estimate:
    """Return E |phi'(x)|^power for x ~ N(mean, variance); D(q) of schoenholz2017 for power 2 and mean 0.

    Raises:
        ValueError: if `variance` is negative or not finite.
    """
    _check(variance)
    if mean == 0.0 and power == 2 and variance > 0.0 and activation.slope_square is not None:
        return Estimate(float(activation.slope_square(variance)), 0.0)
    return _under(lambda x: np.abs(activation.slope(x)) ** power, activation, mean, variance)


def length_slope(activation: Activation, *, variance: float) -> float:
    """Return dV/dq at q = `variance`: E phi(x) phi'(x) z / sqrt(q), x = sqrt(q) z.

    Equal to E phi'^2 + E phi phi'' (Stein), and defined where phi has a kink.

    Raises:
        ValueError: if `variance` is not positive and finite.
    """
    _check(variance)
    if variance == 0.0:
        raise ValueError("the slope of the length map is asked at a variance of 0; give a positive one")
    deviation = math.sqrt(variance)

    def integrand(x: Array) -> Array:
        return activation.value(x) * activation.slope(x) * x

    return _under(integrand, activation, 0.0, variance).value / deviation**2


def pair_mean(
    function: Callable[[Array], Array], *, variance: float, correlation: float, panels: int = 24, nodes: int = 12
) -> float:
    """Return E function(u1) function(u2) for u1, u2 normal of one variance and the given correlation.

    Legendre panels in both directions; the inner integral is over what u2 has of its own.

    Raises:
        ValueError: if the correlation lies outside [-1, 1].
    """
    _check(variance)
    if not -1.0 <= correlation <= 1.0:
        raise ValueError(f"a correlation lies in [-1, 1], got {correlation}")
    root, own = math.sqrt(variance), math.sqrt(max(0.0, 1.0 - correlation**2))
    x, w = _legendre(nodes)
    edges = np.linspace(-8.0, 8.0, panels + 1)
    half = np.diff(edges)[:, None] / 2.0
    z = (edges[:-1, None] + half * (x[None, :] + 1.0)).ravel()
    weight = (half * w[None, :]).ravel() * np.exp(-np.square(z) / 2.0) / math.sqrt(2.0 * math.pi)
    inner = function(root * (correlation * z[:, None] + own * z[None, :])) @ weight
    return float(np.sum(weight * function(root * z) * inner) / np.sum(weight) ** 2)
