"""Per-example and per-token facts of a signal and of its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from photic.records.dissections import SiteDissection

_ROWS = 512  # more are read with a stride: the Gram matrix stays small


@dataclass(slots=True)
class SignalFacts:
    """What was read of a signal [B, ...]."""

    mean_share: float | None
    effective_rank: float | None
    rank_limit: int
    token_cosine: float | None


@dataclass(slots=True)
class GradientFacts:
    """What was read of a gradient [B, ...]."""

    median: float | None
    spread: float | None
    zeros: float | None
    cosine: float | None


def signal_facts(signal: Tensor) -> SignalFacts:
    """Return the facts of a signal whose first axis are the examples."""
    values = signal.detach().to(torch.float64)
    rows = values.reshape(-1, values.shape[-1]) if values.ndim >= 3 else values.reshape(values.shape[0], -1)
    rows = rows[:: max(1, math.ceil(rows.shape[0] / _ROWS))]
    limit = min(rows.shape)
    square = float(values.square().mean())
    if square == 0.0 or not math.isfinite(square):
        return SignalFacts(None, None, limit, None)
    share = float(values.mean(0).square().mean()) / square
    gram = rows @ rows.T
    whole = float(gram.square().sum())
    rank = float(gram.diagonal().sum()) ** 2 / whole if whole > 0.0 else None
    return SignalFacts(share, rank, limit, _token_cosine(values) if values.ndim == 3 else None)


def _token_cosine(values_BTF: Tensor) -> float | None:
    tokens = values_BTF.shape[1]
    if tokens < 2:
        return None
    unit = values_BTF / values_BTF.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    together = unit.sum(1).square().sum(-1)  # |sum of unit vectors|^2 = T + T (T - 1) cosine
    return float((together - unit.square().sum((1, 2))).mean()) / (tokens * (tokens - 1))


def gradient_facts(gradient: Tensor) -> GradientFacts:
    """Return the facts of a gradient whose first axis are the examples."""
    rows = gradient.detach().to(torch.float64).reshape(gradient.shape[0], -1)
    largest = float(rows.abs().max()) if rows.numel() else 0.0
    if largest == 0.0 or not math.isfinite(largest):
        return GradientFacts(0.0 if largest == 0.0 else None, None, 1.0 if largest == 0.0 else None, None)
    rows = rows / largest
    norms = rows.norm(dim=1)
    low, median, high = (float(q) for q in torch.quantile(norms, torch.tensor([0.05, 0.5, 0.95], dtype=norms.dtype)))
    count = rows.shape[0]
    alive = norms > 0.0
    cosine = None
    if int(alive.sum()) > 1:
        unit = rows[alive] / norms[alive, None]
        number = unit.shape[0]
        cosine = (float(unit.sum(0).square().sum()) - number) / (number * (number - 1))
    return GradientFacts(
        median * largest, high / low if low > 0.0 else math.inf, 1.0 - int(alive.sum()) / count, cosine
    )


def site_dissection(name: str, examples: int, signal: SignalFacts, gradient: GradientFacts | None) -> SiteDissection:
    """Return both as one record."""
    found = gradient or GradientFacts(None, None, None, None)
    return SiteDissection(
        site=name,
        examples=examples,
        mean_share=signal.mean_share,
        effective_rank=signal.effective_rank,
        rank_limit=signal.rank_limit,
        token_cosine=signal.token_cosine,
        gradient_median=found.median,
        gradient_spread=found.spread,
        gradient_zeros=found.zeros,
        gradient_cosine=found.cosine,
    )
