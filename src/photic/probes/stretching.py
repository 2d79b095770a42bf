"""Stretching: the loss much further along the way that the first steps took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from photic.probes import batches as forms
from photic.probes.generators import seed_torch
from photic.records.runs import Stretch

MULTIPLES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_ENOUGH = 2  # batches


def stretched(
    start: nn.Module, end: nn.Module, batches: Sequence[Any], loss: Any, *, step: int = 0, seed: int = 0
) -> tuple[Stretch, ...]:
    """Return the mean loss at start + k (end - start), for 0, 1 and growing k until it has doubled or is not finite.

    `start` is moved: give a copy. The batches should be others than those that the steps were made from, so that a loss that
    falls is no mere fit. Every k draws the same random numbers, so that dropout drops the same. Where the loss still falls at
    k = 100, steps a hundred times as long would have been stable along this way; what the curvature across it allows is
    less, so the best k is an upper bound. Empty where nothing moved, or a batch cannot be had.
    """
    begins = [p.detach().clone() for p in start.parameters()]
    ways = [b.detach() - a for a, b in zip(begins, end.parameters(), strict=True)]
    if not any(bool(way.any()) for way in ways):
        return ()
    found: list[Stretch] = []
    with torch.no_grad():
        for multiple in (0.0, 1.0, *MULTIPLES):
            for parameter, begin, way in zip(start.parameters(), begins, ways, strict=True):
                parameter.copy_(begin + multiple * way)
            seed_torch(seed)
            values = [
                float(forms.scalar_loss(forms.call(start, inputs), targets, loss, step))
                for inputs, targets in map(forms.split, list(batches)[-_ENOUGH:])
            ]
            found.append(Stretch(multiple, sum(values) / len(values)))
            if not math.isfinite(found[-1].loss) or found[-1].loss > 2.0 * abs(found[0].loss):
                break
    return tuple(found)
