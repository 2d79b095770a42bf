"""Tailored activations: DKS and TAT shift and scale a curve so that very deep plain networks stay trainable."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, least_squares

from photic.activations import Activation
from photic.theory.laws import relu_correlation
from photic.theory.moments import expectation

Array = NDArray[np.float64]


class Tailored(NamedTuple):
    """phi_hat(x) = output_scale * (phi(input_scale * x + input_shift) + output_shift)."""

    input_scale: float
    input_shift: float
    output_scale: float
    output_shift: float

    def value(self, activation: Activation, x: Array) -> Array:
        """Return the transformed activation at x."""
        return self.output_scale * (activation.value(self.input_scale * x + self.input_shift) + self.output_shift)

    def slope(self, activation: Activation, x: Array) -> Array:
        """Return its slope at x."""
        return self.output_scale * self.input_scale * activation.slope(self.input_scale * x + self.input_shift)


def _moments(activation: Activation, scale: float, shift: float) -> tuple[float, float, float, float]:
    """Return E phi, E phi^2, E phi'^2 and E phi phi' z for phi(scale z + shift), z normal; slopes by z."""
    kinks = tuple((kink - shift) / scale for kink in activation.kinks) if scale else ()

    def at(z: Array) -> tuple[Array, Array]:
        x = scale * z + shift
        return activation.value(x), scale * activation.slope(x)

    return (
        expectation(lambda z: at(z)[0], kinks=kinks).value,
        expectation(lambda z: at(z)[0] ** 2, kinks=kinks).value,
        expectation(lambda z: at(z)[1] ** 2, kinks=kinks).value,
        expectation(lambda z: at(z)[0] * at(z)[1] * z, kinks=kinks).value,
    )


def deep_kernel_shaping(activation: Activation, *, depth: int, zeta: float = 1.5) -> Tailored:
    """Return DKS's constants: Q(1) = 1, Q'(1) = 1, C(0) = 0 and C'(1)^depth = zeta (martens2021, section 3).

    Q maps lengths and C correlations, with weights of fan_in Var[w] = 1. `depth` counts the activations on the longest
    chain.

    Raises:
        ValueError: for a depth below 1, zeta of at most 1, or a homogeneous activation, which DKS cannot shape.
    """
    if depth < 1 or zeta <= 1.0:
        raise ValueError(f"expected a depth of at least 1 and zeta above 1, got {depth} and {zeta}")
    if activation.homogeneous:
        raise ValueError(f"{activation.name} looks the same at every scale; use `tailored_leaky_relu` instead")
    wanted = zeta ** (1.0 / depth)

    def residuals(free: Array) -> Array:
        scale, shift = math.exp(float(free[0])), float(free[1])
        mean, square, slope, mixed = _moments(activation, scale, shift)
        variance = square - mean**2
        if not variance > 0.0:
            return np.array([1e3, 1e3])
        centred_mixed = mixed - mean * _mean_slope_z(activation, scale, shift)
        # With C(0) = 0 and Q(1) = 1: C'(1) = E phi'^2 / Var phi, Q'(1) = E (phi - mean) phi' z / Var phi.
        return np.array([slope / variance - wanted, centred_mixed / variance - 1.0])

    best = None
    for start in ([-1.0, 0.5], [-0.5, 0.0], [-1.0, -0.5], [-2.0, 0.3], [0.0, 1.0], [-0.3, -1.0]):
        found = least_squares(residuals, np.array(start), xtol=1e-15, ftol=1e-15, gtol=1e-15)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    if best.cost > 1e-12:
        raise ValueError(f"no transformation of {activation.name} reaches zeta = {zeta} at depth {depth}")
    scale, shift = math.exp(float(best.x[0])), float(best.x[1])
    mean, square, _, _ = _moments(activation, scale, shift)
    return Tailored(scale, shift, 1.0 / math.sqrt(square - mean**2), -mean)


def _mean_slope_z(activation: Activation, scale: float, shift: float) -> float:
    kinks = tuple((kink - shift) / scale for kink in activation.kinks)
    return expectation(lambda z: scale * activation.slope(scale * z + shift) * z, kinks=kinks).value


def tailored_smooth(activation: Activation, *, depth: int, tau: float = 0.3) -> Tailored:
    """Return TAT's constants for a smooth activation: Q(1) = Q'(1) = C'(1) = 1 and C''(1) = tau / depth.

    With C'(1) = 1 the second derivatives of a chain of `depth` activations add up to tau. C''(1) is E phi''^2, taken by
    central differences of the slope. Source: zhang2022tat, section 4.

    Raises:
        ValueError: for a depth below 1, tau of at most 0, an activation with kinks, or one that cannot be shaped so.
    """
    if depth < 1 or tau <= 0.0:
        raise ValueError(f"expected a depth of at least 1 and a positive tau, got {depth} and {tau}")
    if activation.kinks:
        raise ValueError(f"{activation.name} has a kink, where it has no second derivative; use `tailored_leaky_relu`")
    step = 1e-4

    def residuals(free: Array) -> Array:
        shaped = Tailored(math.exp(float(free[0])), float(free[1]), math.exp(float(free[2])), float(free[3]))

        def bend(z: Array) -> Array:
            return (shaped.slope(activation, z + step) - shaped.slope(activation, z - step)) / (2.0 * step)

        moments = (
            expectation(lambda z: shaped.value(activation, z) ** 2).value - 1.0,
            expectation(lambda z: shaped.value(activation, z) * shaped.slope(activation, z) * z).value - 1.0,
            expectation(lambda z: shaped.slope(activation, z) ** 2).value - 1.0,
            expectation(lambda z: bend(z) ** 2).value * depth / tau - 1.0,
        )
        return np.array(moments)

    starts = ([-1.5, 0.5, 1.0, -0.5], [-2.0, -0.5, 2.0, 0.5], [-1.0, 0.0, 0.5, 0.0], [-2.0, 1.0, 2.0, -1.0])
    found = [least_squares(residuals, np.array(start), xtol=1e-14, ftol=1e-14, gtol=1e-14) for start in starts]
    best = min(found, key=lambda result: result.cost)
    if best.cost > 1e-10:
        raise ValueError(f"no transformation of {activation.name} reaches tau = {tau} at depth {depth}")
    return Tailored(math.exp(float(best.x[0])), float(best.x[1]), math.exp(float(best.x[2])), float(best.x[3]))


def tailored_leaky_relu(*, depth: int, eta: float = 0.9) -> float:
    """Return TAT's negative slope: two orthogonal inputs end at the correlation eta after `depth` activations.

    Use it with orthogonal or He weights of gain sqrt(2 / (1 + a^2)). Source: zhang2022tat, section 4.

    Raises:
        ValueError: for a depth below 1 or eta outside (0, 1).
    """
    if depth < 1 or not 0.0 < eta < 1.0:
        raise ValueError(f"expected a depth of at least 1 and eta between 0 and 1, got {depth} and {eta}")

    def excess(slope: float) -> float:
        c = 0.0
        for _ in range(depth):
            c = relu_correlation(c, slope=slope)
        return c - eta

    if excess(0.0) <= 0.0:
        return 0.0
    return float(brentq(excess, 0.0, 1.0, xtol=1e-14))  # pyright: ignore


def looks_linear(weight: Array) -> Array:
    """Return [W, -W] for a layer fed by concatenated ReLUs: W relu(x) - W relu(-x) = W x, exactly linear at the start.

    Args:
        weight: [out, in]; best orthogonal. The returned matrix is [out, 2 in].

    Source: balduzzi2017, section 4.1.
    """
    return np.concatenate((weight, -weight), axis=1)
