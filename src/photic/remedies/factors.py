"""Factors: a product that hands through the signal that it multiplies, a whole quotient that is a true one."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from photic.probes.calls import Call


def unscaled(call: Call) -> Any:
    """Return of the two that are multiplied the one with a gradient; without such a one, or with two, the first in the shape of the result."""
    given = [one for one in (*call.args, *call.kwargs.values()) if isinstance(one, Tensor)]
    learned = [one for one in given if one.requires_grad]
    if len(learned) == 1:
        return learned[0]
    value: Tensor = call.run()
    return next((one for one in given if one.shape == value.shape), value)


def divided(call: Call) -> Any:
    """Return `x / y` where the call is `x // y`."""
    one, other = call.args[0], call.args[1]
    return other / one if call.reflected else one / other
