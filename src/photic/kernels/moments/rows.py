"""Rows: what a pass writes, whichever pass it was, and what it makes of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from photic.records.moments import Moments

# By position: sums run over finite elements, LARGEST is the largest finite magnitude.
SUM, SQUARES, LARGEST, ZEROS, SUBNORMALS, NONFINITE = range(6)
WIDTH = 8
EVERY = 16  # a glance's histogram counts one cache line in so many
BINS = 256  # a histogram of float32 exponents: bin b counts magnitudes in [2^(b - 127), 2^(b - 126))


def dense(values: Tensor) -> Tensor:
    """Return the values without gaps in memory, in any order: a transposed or channels-last tensor is not copied."""
    if values.is_contiguous():
        return values
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return values
    if values.ndim >= 2 and values.mT.is_contiguous():
        return values
    return values.contiguous()


def summary(row: list[float], count: int, *, exact: bool) -> Moments:
    """Return what a pass wrote as moments; `exact` rows come from `pass_float64`."""
    nonfinite = int(row[NONFINITE])
    finite = count - nonfinite
    largest = row[LARGEST]
    if not finite or largest == 0.0:
        mean = rms = 0.0
    else:
        mean = row[SUM] / finite
        if exact and not 1e-140 < largest < 1e140:  # the square would leave float64: kept in units of the largest
            rms = math.sqrt(row[7] * count / finite) * largest
        else:
            rms = math.sqrt(row[SQUARES] / finite)
    return Moments(
        count=count,
        mean=mean,
        rms=rms,
        maximum=largest,
        zeros=int(row[ZEROS]),
        subnormals=int(row[SUBNORMALS]),
        nonfinite=nonfinite,
    )
