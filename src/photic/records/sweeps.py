"""Sweep: a grid of trained networks, beside what theory expects of their depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One trained network.

    Attributes:
        activation: torch's word for it.
        depth, width: hidden layers, and units in each.
        weight_variance: fan_in * Var[w] at the start.
        bias_variance: Var[b] of the hidden layers at the start.
        optimizer: `sgd`, `momentum` or `adam`.
        learning_rate: of it.
        seed: of its initial values.
        loss: mean training loss of the last ten steps; nan for a network that diverged.
        accuracy: share of held-back examples named rightly; 0 for one that diverged.
    """

    activation: str
    depth: int
    width: int
    weight_variance: float
    bias_variance: float
    optimizer: str
    learning_rate: float
    seed: int
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class DepthScale:
    """What theory says at one initial scale.

    Attributes:
        activation: torch's word for it.
        weight_variance, bias_variance: fan_in * Var[w] and Var[b].
        correlation_scale: xi_c, layers over which the distance of two inputs changes by e; infinite on the critical line.
        gain: chi, factor on the mean squared gradient per layer.
    """

    activation: str
    weight_variance: float
    bias_variance: float
    correlation_scale: float
    gain: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """All points of a grid in its order, and theory over a finer one.

    Attributes:
        points: in the order of the grid.
        theory: along the weight variance, for each activation.
        critical: weight variance of the critical point at the sweep's bias variance, by activation; none where there
            is no stable one.
        steps: training steps of each network.
        examples: in a batch.
        task: what was learned.
    """

    points: tuple[SweepPoint, ...]
    theory: tuple[DepthScale, ...]
    critical: Mapping[str, float] = field(default_factory=dict[str, float])
    steps: int = 0
    examples: int = 0
    task: str = ""
