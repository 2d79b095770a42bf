"""Grouped batches: how much of what is asked for lies between the batches, and not within them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from photic.probes.batches import split
from photic.probes.calls import tensors_in

FEWEST = 4  # unlike batches of more than one example that must have been seen
FREEDOM = 50  # examples beyond one for each batch: by an F test half of the variance lies between batches once in 100,000 then
_MOST = 100_000  # numbers of a batch that are counted
_COLUMNS = 1_000
_MARKS = 64  # numbers of a tensor by which a batch is known again


class Grouped:
    """The variance of the classes within the batches beside that over all of them; they count as vectors of 0 and 1.

    Both are without bias, sum of squares over degrees of freedom, so that small batches in a random order show a share of about 0. A batch
    that comes again counts once. Numbers are left out: those of a series drift from batch to batch, and are learned all the same.
    """

    def __init__(self) -> None:
        self._within = 0.0
        self._examples, self._batches = 0, 0
        self._sum = torch.zeros(0, dtype=torch.float64)
        self._squares = 0.0
        self._known: set[int] = set()

    def saw(self, batch: Any) -> None:
        """Take in a batch whose targets are classes [batch], or 0 and 1 in [batch] or [batch, columns]; what lies on a device is left out."""
        targets = split(batch)[1]
        if not isinstance(targets, Tensor) or targets.device.type != "cpu" or targets.ndim not in (1, 2):
            return
        told = _sums(targets.detach())
        if told is None or len(targets) < 2 or (mark := _mark(batch)) in self._known:
            return
        self._known.add(mark)
        summed, squares = told
        total = torch.zeros(max(len(summed), len(self._sum)), dtype=torch.float64)
        total[: len(self._sum)] += self._sum
        total[: len(summed)] += summed
        self._sum = total
        self._squares += squares
        self._within += squares - float((summed * summed).sum()) / len(targets)
        self._examples += len(targets)
        self._batches += 1

    @property
    def share(self) -> float | None:
        """Share of the variance that lies between the batches, about 0 in a random order; None where too little was seen, or nothing varies."""
        freedom = self._examples - self._batches
        if self._batches < FEWEST or freedom < FREEDOM:
            return None
        overall = (self._squares - float((self._sum * self._sum).sum()) / self._examples) / (self._examples - 1)
        return 1.0 - self._within / freedom / overall if overall > 1e-12 * self._squares else None


def _mark(batch: Any) -> int:
    """Return what tells a batch from others: some numbers of each of its tensors."""
    some = [one.detach().flatten()[:: max(1, one.numel() // _MARKS)].tolist() for one in tensors_in(batch)]
    return hash(str(some))


def _sums(targets: Tensor) -> tuple[Tensor, float] | None:
    """Return the sum over the examples [columns] and the sum of all squares; of classes what their vectors of 0 and 1 would give."""
    if not 0 < targets.numel() <= _MOST:
        return None
    if targets.dtype in (torch.int64, torch.int32):
        classes = targets.flatten()
        if targets.numel() != len(targets) or int(classes.min()) < 0 or int(classes.max()) >= _COLUMNS:
            return None
        return classes.bincount().double(), float(len(classes))
    rows = targets.reshape(len(targets), -1)
    if not targets.is_floating_point() or rows.shape[1] > _COLUMNS or not bool(((rows == 0) | (rows == 1)).all()):
        return None
    rows = rows.double()
    return rows.sum(0), float((rows * rows).sum())
