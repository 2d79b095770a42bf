"""Factors: a product that hands through what it multiplies, one that is a mean, a whole quotient that is a true one."""

from __future__ import annotations

from typing import Any

import torch
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


def averaged(call: Call) -> Any:
    """Return a @ x by the sums of the rows of the matrix, or x @ a by those of its columns; `a` is square, and nobody trains it."""
    first, second = call.args[0], call.args[1]
    left = first.shape[-1] == first.shape[-2] and not first.requires_grad
    matrix: Tensor = first if left else second
    dense = matrix if matrix.layout == torch.strided else matrix.to_dense()
    return call.run() / dense.abs().sum(-1 if left else -2, keepdim=True).clamp_min(torch.finfo(dense.dtype).tiny)
