"""The moments by torch's own reductions: works on every device and dtype, in a few passes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from photic.records.moments import Moments

# Outside this range float64 squares lose bits; inside it they are exact to rounding.
_SAFE_LOW, _SAFE_HIGH = 1e-140, 1e140


def moments(tensor: Tensor) -> Moments:
    """Return the moments of a tensor.

    Sums accumulate in float64, scaled by the largest magnitude where squares would leave its range.
    Complex numbers count as two real ones; of a sparse tensor the absent elements count as zeros; of a
    distributed tensor the local shard is read.
    """
    values = tensor.detach()
    absent = 0
    if hasattr(values, "to_local"):
        values = values.to_local()  # pyright: ignore
    if values.layout is not torch.strided:
        listed = values if values.layout is torch.sparse_coo else values.to_sparse_coo()
        stored = listed.coalesce().values()
        absent, values = values.numel() - stored.numel(), stored
    if values.is_complex():
        values, absent = torch.view_as_real(values), 2 * absent
    if not values.is_floating_point():
        values = values.to(torch.float64)
    count = values.numel()
    if count == 0:
        return Moments(absent, 0.0, 0.0, 0.0, zeros=absent)
    tiny = torch.finfo(values.dtype).tiny
    wide = values.to(torch.float64)
    maximum = _largest(wide)
    nonfinite = 0
    if not math.isfinite(maximum):
        wide = wide[torch.isfinite(wide)]
        nonfinite = count - wide.numel()
        maximum = _largest(wide) if wide.numel() else 0.0
    total = count + absent
    zeros = count - nonfinite - int(torch.count_nonzero(wide)) + absent
    if maximum == 0.0:
        return Moments(total, 0.0, 0.0, 0.0, zeros=zeros, nonfinite=nonfinite)
    scale = 1.0 if _SAFE_LOW < maximum < _SAFE_HIGH else maximum
    if scale != 1.0:
        wide = wide / scale
    finite = total - nonfinite
    flat = wide.reshape(-1)
    mean = float(flat.sum()) / finite * scale
    rms = math.sqrt(float(flat.dot(flat)) / finite) * scale
    below = int(torch.count_nonzero((values < tiny) & (values > -tiny))) - (zeros - absent)
    return Moments(total, mean, rms, maximum, zeros=zeros, subnormals=below, nonfinite=nonfinite)


def _largest(wide: Tensor) -> float:
    """Return the largest magnitude; nan if there is one. Without a copy of the tensor, unlike `abs().max()`."""
    low, high = torch.aminmax(wide)
    return max(-float(low), float(high)) if float(high) == float(high) else math.nan
