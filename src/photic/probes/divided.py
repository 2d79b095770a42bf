"""Divided: whether what each example is divided by tells what is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call

MOST = 16  # numbers of each example
TIMES = 4  # so many examples for each of them
COLUMNS = 64  # of the targets


def divisor(call: Call, carries: bool) -> Tensor | None:
    """Return what a division of the batch divides each example by, if these are few numbers and no parameter takes part; None else."""
    if call.operation != "div" or call.phase != "model" or carries or len(call.args) < 2 or call.reflected:
        return None
    whole, below = call.args[0], call.args[1]
    if not isinstance(whole, Tensor) or not isinstance(below, Tensor) or below.ndim < 1 or whole.ndim < 1:
        return None
    rows = below.shape[0]
    few = 0 < below.numel() <= MOST * rows and below.numel() < whole.numel()
    return below.detach() if rows == whole.shape[0] and few and below.is_floating_point() else None


def told(numbers: Tensor, targets: Any) -> float | None:
    """Return the share of the targets' variance that is linear in these numbers, adjusted for how many they are; None where it cannot be told."""
    if not isinstance(targets, Tensor) or not targets.is_floating_point() or targets.ndim < 1:
        return None
    given, asked = (t.detach().reshape(len(t), -1).to(torch.float64).cpu() for t in (numbers, targets))
    rows, count = given.shape
    if len(asked) != rows or rows < TIMES * (count + 1) or asked.shape[1] > COLUMNS:
        return None
    given, asked = given - given.mean(0), asked - asked.mean(0)
    whole = float(asked.square().sum())
    if not bool(torch.isfinite(given).all()) or not 0.0 < whole < float("inf") or not bool(given.any()):
        return None
    rest = asked - given @ (torch.linalg.pinv(given) @ asked)
    return max(0.0, 1.0 - float(rest.square().sum()) / whole * (rows - 1) / (rows - count - 1))
