"""The definition of the moments: float64, slow, obvious. Every other version must match it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photic.records.moments import Moments


def moments(values: NDArray[np.floating], *, smallest_normal: float | None = None) -> Moments:
    """Return the moments of an array.

    Args:
        values: real numbers of any shape; empty is allowed.
        smallest_normal: below it a nonzero magnitude is subnormal; by default that of `values.dtype`.
    """
    tiny = float(np.finfo(values.dtype).smallest_normal) if smallest_normal is None else smallest_normal
    wide = values.astype(np.float64).ravel()
    finite = wide[np.isfinite(wide)]
    magnitude = np.abs(finite)
    maximum = float(magnitude.max()) if finite.size else 0.0
    if maximum == 0.0:
        mean = rms = 0.0
    else:
        scaled = finite / maximum  # squares of 1e-300 would be 0
        mean = float(scaled.mean()) * maximum
        rms = float(np.sqrt(np.mean(scaled * scaled))) * maximum
    return Moments(
        count=int(wide.size),
        mean=mean,
        rms=rms,
        maximum=maximum,
        zeros=int(np.sum(finite == 0.0)),
        subnormals=int(np.sum((magnitude > 0.0) & (magnitude < tiny))),
        nonfinite=int(wide.size - finite.size),
    )
