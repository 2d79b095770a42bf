"""Curve: an activation with the pre-activations of the network's units on it."""

from __future__ import annotations

from dataclasses import dataclass

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Curve:
    """An activation with the pre-activations of the network's units on it.

    Attributes:
        name: of the activation.
        x, value, slope: the curve.
        sites: names of the sites where it was seen, in order of execution.
        quantiles: for each site the pre-activation at 0, 1, 5, 25, 50, 75, 95, 99 and 100 % of the elements.
    """

    name: str
    x: tuple[float, ...]
    value: tuple[float, ...]
    slope: tuple[float, ...]
    sites: tuple[str, ...]
    quantiles: tuple[tuple[float, ...], ...]
