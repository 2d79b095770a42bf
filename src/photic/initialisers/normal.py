"""Fill a weight with normal numbers of a given variance."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fill_normal(weight: Tensor, *, variance: float, generator: torch.Generator | None = None) -> Tensor:
    """Fill `weight` in place with independent normal numbers of mean 0 and the given variance, and return it.

    Raises:
        ValueError: if `variance` is negative or not finite.
    """
    if not variance >= 0.0 or not math.isfinite(variance):
        raise ValueError(f"expected a finite variance of at least 0, got {variance}")
    with torch.no_grad():
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float32) * math.sqrt(variance)
        return weight.copy_(drawn)
