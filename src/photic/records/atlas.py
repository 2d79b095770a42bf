"""Atlas: what is known of an activation and of deep networks of it, ready to be shown or drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CriticalPointRecord:
    """A point of the critical line: mean squared pre-activation, fan_in Var[w], Var[b], and whether it holds."""

    length: float
    weight_variance: float
    bias_variance: float
    holds: bool


@dataclass(frozen=True, slots=True)
class ActivationAtlas:
    """One activation: its curve, and what it does to normal signals of every size.

    Attributes:
        name: torch's word for it, with its settings.
        low, high: infimum and supremum.
        x, value, slope: the curve.
        flat_intervals: where the slope is below 1 % of its largest.
        lengths: mean squared pre-activations q, from 0.01 to 100.
        means: E phi at each q.
        signal_gains: rms of the output over rms of the input, sqrt(V(q) / q).
        gradient_gains: sqrt(D(q)), the factor on the gradient norm of the activation itself.
        flat_shares: share of N(0, q) that falls into the flat intervals.
        critical: the critical point without bias; None where there is none.
        folklore_gain: gain of torch.nn.init.calculate_gain; None where torch gives none.
        source: key of references.bib and a place, or ''.
    """

    name: str
    low: float
    high: float
    x: tuple[float, ...]
    value: tuple[float, ...]
    slope: tuple[float, ...]
    flat_intervals: tuple[tuple[float, ...], ...]
    lengths: tuple[float, ...]
    means: tuple[float, ...]
    signal_gains: tuple[float, ...]
    gradient_gains: tuple[float, ...]
    flat_shares: tuple[float, ...]
    critical: CriticalPointRecord | None = None
    folklore_gain: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Atlas:
    """Several activations, one beside the other."""

    activations: tuple[ActivationAtlas, ...]


@dataclass(frozen=True, slots=True)
class PhaseDiagram:
    """Deep networks of one activation over the variances of their weights and biases.

    Attributes:
        activation: its name.
        weight_variances: fan_in * Var[w], ascending.
        bias_variances: Var[b], ascending.
        gains: chi at the fixed point, one row for each bias variance.
        line: the critical line within the frame.
    """

    activation: str
    weight_variances: tuple[float, ...]
    bias_variances: tuple[float, ...]
    gains: tuple[tuple[float, ...], ...]
    line: tuple[CriticalPointRecord, ...] = ()
