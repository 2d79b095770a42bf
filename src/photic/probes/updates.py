"""The true update of every parameter: weight after minus weight before."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters by name."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def updates(before: dict[str, Tensor], model: nn.Module) -> dict[str, tuple[float, float]]:
    """Return, by parameter, |after - before| / |before| and the share of elements left bit-identical.

    The ratio is infinite where a parameter that was 0 moved, and 0 where nothing moved.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, parameter in model.named_parameters():
        if name not in before or parameter.numel() == 0:
            continue
        old, new = before[name], parameter.detach()
        moved = torch.linalg.vector_norm((new - old).flatten(), dtype=torch.float64)
        size = torch.linalg.vector_norm(old.flatten(), dtype=torch.float64)
        ratio = float(moved / size) if float(size) > 0.0 else (math.inf if float(moved) > 0.0 else 0.0)
        found[name] = ratio, int((new == old).sum()) / parameter.numel()
    return found
