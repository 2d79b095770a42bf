"""Histograms of magnitudes by octave, as they are kept in a store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST, OCTAVES = -80, 96  # 2^-80 to 2^16; what lies beyond is counted in the first and the last; zeros in none
_BIAS = 127


def packed(counts: NDArray[np.integer[Any]]) -> bytes:
    """Return counts by float32 exponent [modules, 256] as float32 shares [modules, OCTAVES], one after the other.

    Column 0 of the exponents holds zeros and subnormals, column 255 nan and infinities: neither has an octave. The shares
    of a module add up to 1, or are all 0 where nothing was counted.
    """
    finite = counts[:, 1:255].astype(np.float64)  # exponents -126 to 127
    low = FIRST + _BIAS - 1
    kept = finite[:, low : low + OCTAVES].copy()
    kept[:, 0] += finite[:, :low].sum(1)
    kept[:, -1] += finite[:, low + OCTAVES :].sum(1)
    totals = kept.sum(1, keepdims=True)
    return np.divide(kept, totals, out=np.zeros_like(kept), where=totals > 0).astype("<f4").tobytes()


def unpacked(row: Sequence[float], names: Sequence[str]) -> dict[str, dict[int, float]]:
    """Return for each module its octaves with their shares: `{-3: 0.25}` for a quarter of magnitudes in [1/8, 1/4).

    Raises:
        ValueError: if the row has not `OCTAVES` numbers for each name.
    """
    if len(row) != OCTAVES * len(names):
        raise ValueError(f"expected {OCTAVES} numbers for each of {len(names)} modules, got {len(row)}")
    found: dict[str, dict[int, float]] = {}
    for number, name in enumerate(names):
        shares = row[number * OCTAVES : (number + 1) * OCTAVES]
        found[name] = {FIRST + k: share for k, share in enumerate(shares) if share > 0.0 and math.isfinite(share)}
    return found
