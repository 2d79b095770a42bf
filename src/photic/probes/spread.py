"""Spread: how much a signal tells its inputs apart, and the columns of what enters."""

from __future__ import annotations

import torch
from torch import Tensor

from photic.probes.shards import local
from photic.records.runs import ColumnFacts, SpreadFacts

EXAMPLES, NUMBERS = 64, 4_096  # of a larger tensor, so many examples and so many numbers of each are read


def spread_facts(output: Tensor) -> SpreadFacts | None:
    """Return how much the examples [N, ...] differ, and the positions of each in [N, T, D].

    None with fewer than two examples, for what is no real floating-point tensor, and where all numbers are 0 or one is
    not finite. None as well for a tensor that is cut over ranks: they would have to be asked.
    """
    if local(output) is not output:
        return None
    if output.ndim < 2 or output.shape[0] < 2 or output.numel() == 0 or not output.is_floating_point():
        return None
    some = output.detach()[:EXAMPLES]
    tokens = None
    if some.ndim == 3 and some.shape[1] > 1:
        tokens = _differing(some.to(torch.float64), 1)
    flat = some.reshape(some.shape[0], -1)
    examples = _differing(flat[:, :: max(1, flat.shape[1] // NUMBERS)].to(torch.float64), 0)
    return None if examples is None else SpreadFacts(examples, tokens)


def _differing(values: Tensor, axis: int) -> float | None:
    """Return |x - mean|^2 / |x|^2, on numbers scaled to at most 1."""
    largest = values.abs().max()
    if not bool(torch.isfinite(largest)) or float(largest) == 0.0:
        return None
    unit = values / largest
    return float((unit - unit.mean(axis, keepdim=True)).square().sum() / unit.square().sum())


def column_facts(entering: Tensor) -> ColumnFacts | None:
    """Return the columns of a tensor [N, D], [N, T, D] or [N, C, H, W]; None with fewer than two examples."""
    if entering.ndim < 2 or entering.shape[0] < 2 or entering.numel() == 0 or not entering.is_floating_point():
        return None
    axis = 1 if entering.ndim >= 4 else entering.ndim - 1
    columns = entering.detach()[:1024].movedim(axis, -1).reshape(-1, entering.shape[axis]).to(torch.float64)
    means, deviations = columns.mean(0), columns.std(0, correction=0)
    varying = deviations > 1e-12 * columns.abs().amax(0).clamp_min(1e-300)
    if not bool(varying.any()) or not bool(torch.isfinite(deviations).all()):
        return None
    sizes = deviations[varying]
    low, high = torch.quantile(sizes, torch.tensor([0.05, 0.95], dtype=torch.float64, device=sizes.device)).tolist()
    offset = float(means[varying].square().mean().sqrt() / sizes.square().mean().sqrt())
    return ColumnFacts(int(varying.sum()), low, high, offset)
