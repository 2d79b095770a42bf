"""Build the atlas: activations under normal signals of every size, and phase diagrams."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from photic.activations import Activation
from photic.records.atlas import ActivationAtlas, CriticalPointRecord, PhaseDiagram
from photic.theory.depth_scales import CriticalPoint, critical_at
from photic.theory.moments import mean, mean_square, slope_square

Array = NDArray[np.float64]
_REACH = 6.0  # the curve is drawn from -6 to 6

# torch.nn.init.calculate_gain, by its documentation; it knows no gain for GELU, SiLU or Mish.
_FOLKLORE = {
    "identity": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75,
    "leaky_relu": math.sqrt(2.0 / (1.0 + 0.01**2)),
}  # fmt: skip


def activation_atlas(activation: Activation, *, points: int = 241) -> ActivationAtlas:
    """Return the curve of an activation and its gains under N(0, q) for q from 0.01 to 100."""
    x = np.linspace(-_REACH, _REACH, points)
    lengths = np.logspace(-2.0, 2.0, 41)
    squares = [mean_square(activation, variance=q).value for q in lengths]
    slopes = [slope_square(activation, variance=q).value for q in lengths]
    return ActivationAtlas(
        name=activation.name,
        low=activation.low,
        high=activation.high,
        x=_plain(x),
        value=_plain(activation.value(x)),
        slope=_plain(activation.slope(x)),
        flat_intervals=activation.flat_intervals,
        lengths=_plain(lengths),
        means=tuple(mean(activation, variance=q).value for q in lengths),
        signal_gains=tuple(math.sqrt(square / q) for square, q in zip(squares, lengths, strict=True)),
        gradient_gains=tuple(math.sqrt(slope) for slope in slopes),
        flat_shares=tuple(_flat_share(activation, q) for q in lengths),
        critical=_record(critical_at(activation, bias_variance=0.0)),
        folklore_gain=_FOLKLORE.get(activation.name.split("(")[0]),
        source=activation.source,
    )


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _record(point: CriticalPoint | None) -> CriticalPointRecord | None:
    return None if point is None else CriticalPointRecord(*point)


def _flat_share(activation: Activation, length: float) -> float:
    root = math.sqrt(length)
    return float(sum(ndtr(high / root) - ndtr(low / root) for low, high in activation.flat_intervals))


def phase_diagram(
    activation: Activation, *, weight_variances: Array, bias_variances: Array, steps: int = 3000
) -> PhaseDiagram:
    """Return chi at the fixed point over a grid of weight and bias variances, with the critical line.

    The length map is iterated on the whole grid at once, with V and D read between 400 lengths from 1e-10 to 1e8.
    Where the length grows without bound chi is that of the largest length.

    Raises:
        ValueError: if a variance is negative or there are none.
    """
    if not len(weight_variances) or not len(bias_variances) or min(*weight_variances, *bias_variances) < 0.0:
        raise ValueError("a phase diagram needs weight and bias variances of at least 0")
    logs = np.linspace(math.log(1e-10), math.log(1e8), 400)
    squares = np.array([mean_square(activation, variance=math.exp(log)).value for log in logs])
    slopes = np.array([slope_square(activation, variance=math.exp(log)).value for log in logs])
    ratio = squares / np.exp(logs)  # V(q) / q varies slowly, V itself over 18 decades
    w, b = np.meshgrid(weight_variances, bias_variances)
    q = np.ones_like(w)
    for _ in range(steps):
        log = np.log(np.clip(q, 1e-10, 1e8))
        after = np.clip(w * np.interp(log, logs, ratio) * np.exp(log) + b, 1e-10, 1e8)
        if np.max(np.abs(after / q - 1.0)) < 1e-10:
            break
        q = after
    gains = w * np.interp(np.log(q), logs, slopes)
    found = [critical_at(activation, bias_variance=float(variance)) for variance in bias_variances]
    line = [
        CriticalPointRecord(*point)
        for point in found
        if point is not None and point.weight_variance <= max(weight_variances)
    ]
    return PhaseDiagram(
        activation.name,
        _plain(weight_variances),
        _plain(bias_variances),
        tuple(_plain(row) for row in gains),
        tuple(line),
    )
