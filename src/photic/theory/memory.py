"""Recurrent networks: how long a gradient lives in time."""

from __future__ import annotations

import math

from photic.activations import Activation


def forget_retention(bias: float, *, steps: int = 1) -> float:
    """Return what is left of a cell after `steps` with the forget gate at sigmoid(bias).

    Example:
        >>> round(forget_retention(0.0), 3)
        0.5
    """
    return math.exp(-steps * math.log1p(math.exp(-bias)))


def memory_time(bias: float) -> float:
    """Return over how many steps a cell forgets by a factor e: -1 / ln sigmoid(bias), about exp(bias) + 1/2."""
    return 1.0 / math.log1p(math.exp(-bias))


def chrono_bias(longest: int) -> tuple[float, float]:
    """Return the range of forget biases whose memory times spread from 1 to `longest` - 1 steps: ln U(1, T - 1).

    The input gate gets minus the same. Source: tallec2018, section 2.

    Raises:
        ValueError: for fewer than 3 steps.
    """
    if longest < 3:
        raise ValueError(f"the longest dependency is at least 3 steps, got {longest}")
    return 0.0, math.log(longest - 1.0)


def uniform_spectral_radius(hidden: int) -> float:
    """Return the spectral radius of torch's default recurrent matrix U(-1/sqrt(H), 1/sqrt(H)): 1 / sqrt(3).

    For large H (circular law): sqrt(H Var[w]). The largest singular value is twice that.
    """
    if hidden < 1:
        raise ValueError(f"expected at least one hidden unit, got {hidden}")
    return 1.0 / math.sqrt(3.0)


def vanishes_for_certain(activation: Activation, *, largest_singular_value: float) -> bool:
    """Tell whether gradients through time vanish whatever the inputs: sigma_max(W) sup|phi'| < 1 (pascanu2013)."""
    return largest_singular_value * activation.largest_slope < 1.0


def recurrent_gain(activation: Activation, *, weight_variance: float, length: float) -> float:
    """Return the factor on the gradient norm per time step of a plain recurrent layer: sqrt(H Var[w] E phi'^2).

    Weights are shared over time; for wide layers that changes the fluctuations, not the mean square.
    """
    from photic.theory.maps import gradient_gain

    return math.sqrt(gradient_gain(activation, weight_variance=weight_variance, length=length))
