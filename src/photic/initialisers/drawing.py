"""Draw numbers into a weight: normal, truncated normal, orthogonal, delta-orthogonal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# The deviation of a normal cut at +-2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
TRUNCATED_DEVIATION = 0.8796256610342398


def fans(weight: Tensor) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight [out, in, *kernel].

    Raises:
        ValueError: for fewer than two dimensions.
    """
    if weight.ndim < 2:
        raise ValueError(f"a weight has at least two dimensions [out, in], got shape {tuple(weight.shape)}")
    volume = math.prod(weight.shape[2:])
    return weight.shape[1] * volume, weight.shape[0] * volume


def _check(variance: float) -> None:
    if not variance >= 0.0 or not math.isfinite(variance):
        raise ValueError(f"expected a finite variance of at least 0, got {variance}")


def fill_normal(weight: Tensor, *, variance: float, generator: torch.Generator | None = None) -> Tensor:
    """Fill `weight` in place with independent normal numbers of mean 0 and the given variance, and return it.

    Raises:
        ValueError: if `variance` is negative or not finite.
    """
    _check(variance)
    with torch.no_grad():
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float32) * math.sqrt(variance)
        return weight.copy_(drawn)


def fill_truncated(weight: Tensor, *, variance: float, generator: torch.Generator | None = None) -> Tensor:
    """Fill `weight` with normal numbers cut at two deviations, so wide that the variance is the one asked for.

    Cutting takes 23 % of the variance; `torch.nn.init.trunc_normal_(std=s)` gives a deviation of 0.88 s.
    """
    _check(variance)
    with torch.no_grad():
        low, high = 0.5 * math.erfc(math.sqrt(2.0)), 0.5 * math.erfc(-math.sqrt(2.0))
        uniform = torch.rand(weight.shape, generator=generator, dtype=torch.float64) * (high - low) + low
        cut = torch.special.ndtri(uniform)
        return weight.copy_(cut * (math.sqrt(variance) / TRUNCATED_DEVIATION))


def fill_orthogonal(weight: Tensor, *, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fill `weight`, seen as [out, in * kernel], with a random (semi-)orthogonal matrix times `gain`.

    QR of a normal matrix with the signs of R's diagonal made positive: uniform over the orthogonal group (saxe2014).
    """
    rows, columns = weight.shape[0], fans(weight)[0]
    with torch.no_grad():
        return weight.copy_((gain * _orthogonal(rows, columns, generator)).reshape(weight.shape))


def _orthogonal(rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    drawn = torch.randn(max(rows, columns), min(rows, columns), generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(drawn)
    q = q * torch.sign(r.diagonal())
    return q if rows >= columns else q.T


def fill_delta_orthogonal(weight: Tensor, *, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Fill a convolution kernel [out, in, *kernel] with zeros and an orthogonal matrix at its centre (xiao2018).

    Raises:
        ValueError: without a kernel of odd sizes, or with fewer outputs than inputs, where no isometry exists.
    """
    sizes = weight.shape[2:]
    if not sizes or any(size % 2 == 0 for size in sizes):
        raise ValueError(f"a delta-orthogonal kernel needs a centre: odd sizes, got shape {tuple(weight.shape)}")
    if weight.shape[0] < weight.shape[1]:
        raise ValueError(
            f"a delta-orthogonal convolution needs at least as many outputs as inputs, got {weight.shape[0]} of "
            f"{weight.shape[1]}; use `orthogonal`, or He, for a layer that narrows"
        )
    with torch.no_grad():
        weight.zero_()
        centre = (slice(None), slice(None), *(size // 2 for size in sizes))
        weight[centre] = (gain * _orthogonal(weight.shape[0], weight.shape[1], generator)).to(weight)
        return weight
