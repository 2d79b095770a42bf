"""Spread: how much a signal tells its inputs apart, and the columns of what enters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from photic.probes.shards import local
from photic.records.runs import ChoiceFacts, ColumnFacts, SpreadFacts
from photic.records.vocabulary import Kind

EXAMPLES, NUMBERS = 64, 4_096  # of a larger tensor, so many examples and so many numbers of each are read
FEW, SAMPLED = 8, 128  # examples whose places are compared, and features whose directions are counted
MAPS, CHANNELS = 2, 8  # of a convolution's maps so many examples and channels have their places compared


def spread_facts(output: Tensor, kind: Kind, grid: Sequence[int] = ()) -> SpreadFacts | None:
    """Return how much the examples [N, ...] differ, and the positions of each in [N, T, D]; of a layer, in how many directions.

    With a grid of (N, T) the rows of [N * T, D] are positions as well, as in graphs whose nodes lie flat; of a layer's maps
    [N, C, H, W] the places are.

    None for what only moves values, with fewer than two examples, for what is no real floating-point tensor, and where all numbers are 0 or one is
    not finite. None as well for a tensor that is cut over ranks: they would have to be asked.
    """
    if kind in ("shape", "dropout") or local(output) is not output:
        return None
    if output.ndim < 2 or output.shape[0] < 2 or output.numel() == 0 or not output.is_floating_point():
        return None
    some = output.detach()[:EXAMPLES]
    tokens = places = None
    if some.ndim == 3 and some.shape[1] > 1:
        tokens = _differing(some.to(torch.float64), 1)
    if some.ndim == 3 and some.shape[2] > 1:
        places = _differing(some[:FEW].to(torch.float64), 2)
    if some.ndim == 4 and kind == "weight" and some.shape[2] * some.shape[3] > 1:
        maps = some[:MAPS, :: max(some.shape[1] // CHANNELS, 1)].flatten(2)
        places = _differing(maps[..., :NUMBERS].to(torch.float64), 2)
    if some.ndim == 2 and len(grid) == 2 and grid[1] > 1 and len(output) == grid[0] * grid[1]:
        tokens = _differing(output.detach()[: FEW * grid[1]].reshape(-1, grid[1], some.shape[1]).to(torch.float64), 1)
    flat = some if some.ndim == 2 else some.reshape(some.shape[0], -1)
    sampled = _every(flat, NUMBERS).to(torch.float64)
    examples = _differing(sampled, 0)
    if examples is None:
        return None
    counted = kind in ("weight", "other") and output.ndim == 2 and min(output.shape) >= FEW
    if counted and kind == "other" and len(output) > EXAMPLES:
        # Rows of a graph or a table: those that follow each other are akin.
        rows = output.detach()[:: len(output) // EXAMPLES][:EXAMPLES]
        sampled = _every(rows, NUMBERS).to(torch.float64)
    return SpreadFacts(examples, tokens, places, _directions(sampled) if counted else None)


def _directions(values: Tensor) -> float | None:
    """Return (sum of eigenvalues)^2 / (sum of their squares) of the covariance between features; None where nothing differs."""
    some = _every(values, SAMPLED)
    apart = some - some.mean(0)
    products = apart @ apart.T
    total, length = float(products.trace()), float(torch.linalg.vector_norm(products))
    return (total / length) ** 2 if length > 0.0 else None


def _every(rows: Tensor, most: int) -> Tensor:
    """Return about so many columns, evenly apart; all where there are no more."""
    step = rows.shape[1] // most
    return rows[:, ::step] if step > 1 else rows


def _differing(values: Tensor, axis: int) -> float | None:
    """Return |x - mean|^2 / |x|^2, on numbers scaled to at most 1."""
    largest = values.abs().max()
    if not bool(torch.isfinite(largest)) or float(largest) == 0.0:
        return None
    unit = values / largest
    return float((unit - unit.mean(axis, keepdim=True)).square().sum() / unit.square().sum())


def choice_facts(entering: Sequence[Tensor], output: Tensor) -> ChoiceFacts | None:
    """Return how many different whole numbers were made, row by row, of the largest tensor that entered; None for other outputs.

    None as well for a choice among one, whose tensor has no number more, unless each number is rounded by itself.
    """
    whole = not output.is_floating_point() and not output.is_complex() and output.dtype != torch.bool
    numbers = [tensor for tensor in entering if tensor.is_floating_point() and tensor.numel() >= output.numel()]
    if not whole or not numbers or output.ndim < 1 or len(output) < FEW or local(output) is not output:
        return None
    given = max(numbers, key=Tensor.numel).detach()
    if given.ndim < 1 or len(given) != len(output) or (given.ndim > output.ndim and given.numel() == output.numel()):
        return None
    rows = _every(given.reshape(len(given), -1)[:EXAMPLES], NUMBERS).to(torch.float64)
    apart, some = _differing(rows, 0), output.detach().reshape(-1)[:NUMBERS]
    return None if apart is None else ChoiceFacts(len(some.unique()), len(some), apart)


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
