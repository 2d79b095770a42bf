"""Frequencies: how often the classes come in the targets, and the answer of who knows nothing else."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from photic.probes.class_weights import class_axis

_MOST = 100_000  # targets of a batch that are counted


class Frequencies:
    """How often each class came, or, of targets from 0 to 1, how much of 1 came in all."""

    def __init__(self) -> None:
        self._classes = torch.zeros(0, dtype=torch.int64)
        self._total, self._number = 0.0, 0

    def saw(self, targets: Any) -> None:
        """Count the targets of a batch; what holds no classes, is large or lies on a device is left out."""
        if not isinstance(targets, Tensor) or targets.device.type != "cpu" or not 0 < targets.numel() <= _MOST:
            return
        if targets.dtype in (torch.int64, torch.int32):
            given = targets.flatten()
            counts = given[given >= 0].bincount(minlength=len(self._classes))
            counts[: len(self._classes)] += self._classes
            self._classes = counts
        elif targets.is_floating_point() and bool(((targets >= 0) & (targets <= 1)).all()):
            self._total += float(targets.detach().sum(dtype=torch.float64))
            self._number += targets.numel()

    def scores(self, output: Any, targets: Any) -> Tensor | None:
        """Return scores in the shape of the output that give every example these frequencies, by a softmax or a logistic sigmoid.

        One is added to every count, so that no class has probability 0. None where the output holds no scores of the targets'
        classes, or fewer than two came.
        """
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return None
        axis = class_axis(output, targets)
        if axis is None and output.ndim == 2 and _flattened(targets, len(output)):
            axis = 1
        if axis is not None:
            return self._of_classes(output, axis)
        if not isinstance(targets, Tensor) or output.shape != targets.shape or not 0.0 < self._total < self._number:
            return None
        share = (self._total + 1.0) / (self._number + 2.0)
        return torch.full_like(output, math.log(share / (1.0 - share)))

    def _of_classes(self, output: Tensor, axis: int) -> Tensor | None:
        counts = torch.ones(output.shape[axis], dtype=torch.float64)
        known = self._classes[: len(counts)]
        counts[: len(known)] += known
        if int((known > 0).sum()) < 2:
            return None
        shape = [len(counts) if place == axis else 1 for place in range(output.ndim)]
        return (counts / counts.sum()).log().to(output.dtype).view(shape).expand_as(output)


def _flattened(targets: Any, rows: int) -> bool:
    """Whether the targets are whole numbers that the loss lays into one row of that length."""
    return isinstance(targets, Tensor) and targets.dtype in (torch.int64, torch.int32) and targets.numel() == rows
