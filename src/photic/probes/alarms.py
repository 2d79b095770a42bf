"""Alarms: what a glance shows that the last audit did not, so that the next steps are audited and the rules are asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photic.probes.glances import Glance

SHIFT = 30.0  # times what a module had of the gradient, or a part of it
_IN_A_ROW = 3  # glances; one batch alone may leave a unit, an expert or a class without a gradient


class Alarm:
    """Compares each glance with the first one after the last audit.

    It rings where an element is not finite, and where the gradient has moved between the modules: one of them has `SHIFT`
    times more or less of it than it had, beside the median of all. A loss that falls or is scaled moves nothing.
    """

    def __init__(self) -> None:
        self._usual: NDArray[np.float64] | None = None
        self._moved = 0

    def rest(self) -> None:
        """Take the next glance as the usual one: an audit has looked at what there is."""
        self._usual, self._moved = None, 0

    def rings(self, glance: Glance) -> bool:
        """Return whether what was read should be looked at; waits for a GPU."""
        signals, gradients = glance.sizes(0), glance.sizes(1)
        if (signals == np.inf).any() or (gradients == np.inf).any():
            return True
        shares = _shares(gradients)
        if self._usual is None or len(self._usual) != len(shares):
            self._usual, self._moved = shares, 0
            return False
        with np.errstate(invalid="ignore"):  # nan where a module did not run, or has never had a gradient
            moved = np.abs(shares - self._usual) > np.log(SHIFT)
        self._moved = self._moved + 1 if moved.any() else 0
        return self._moved >= _IN_A_ROW


def _shares(gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of the norms beside their median; -inf of a gradient that is 0."""
    with np.errstate(divide="ignore"):
        logarithms = np.log(gradients)
    told = np.sort(logarithms[np.isfinite(logarithms)])
    return logarithms - told[len(told) // 2] if told.size else logarithms
