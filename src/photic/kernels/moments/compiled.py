"""The moments by the compiled pass, for dense tensors on the CPU; everything else goes to torch's own reductions."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from photic.kernels.moments import numba_pass as np_pass
from photic.kernels.moments import torch_passes
from photic.records.moments import Moments

_TINY = {dtype: int(np.float32(torch.finfo(dtype).tiny).view(np.int32)) for dtype in (torch.float32, torch.float16)}
_INFINITY = math.inf
_own = threading.local()


def moments(tensor: Tensor) -> Moments:
    """Return the moments of a tensor, as `reference.moments` defines them; rms and mean to 1e-6 of the rms."""
    values = tensor.detach()
    if type(values) is not Tensor:
        values = values.as_subclass(Tensor) if type(values) is torch.nn.Parameter else values
    dtype = values.dtype
    if type(values) is not Tensor or values.layout is not torch.strided or values.device.type != "cpu":
        return torch_passes.moments(tensor)
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
        dtype = values.dtype
    if values.is_neg():
        values = values.resolve_neg()
    count = values.numel()
    if count == 0:
        return Moments(0, 0.0, 0.0, 0.0)
    values = dense(values)
    row, address = _row()
    if dtype is torch.float32:
        np_pass.pass_float32(values.data_ptr(), count, _TINY[torch.float32], -_INFINITY, _INFINITY, 0, address, address)
    elif dtype is torch.bfloat16:
        np_pass.pass_bfloat16(
            values.data_ptr(), count, _TINY[torch.float32], -_INFINITY, _INFINITY, 0, address, address
        )
    elif dtype is torch.float16:
        wide = values.float()
        np_pass.pass_float32(wide.data_ptr(), count, _TINY[torch.float16], -_INFINITY, _INFINITY, 0, address, address)
    elif dtype is torch.float64:
        np_pass.pass_float64(values.data_ptr(), count, -_INFINITY, _INFINITY, address)
    else:
        return torch_passes.moments(tensor)
    return summary(row.tolist(), count, exact=dtype is torch.float64)


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
    nonfinite = int(row[np_pass.NONFINITE])
    finite = count - nonfinite
    largest = row[np_pass.LARGEST]
    if not finite or largest == 0.0:
        mean = rms = 0.0
    else:
        mean = row[np_pass.SUM] / finite
        if exact and not 1e-140 < largest < 1e140:  # the square would leave float64: kept in units of the largest
            rms = math.sqrt(row[7] * count / finite) * largest
        else:
            rms = math.sqrt(row[np_pass.SQUARES] / finite)
    return Moments(
        count=count,
        mean=mean,
        rms=rms,
        maximum=largest,
        zeros=int(row[np_pass.ZEROS]),
        subnormals=int(row[np_pass.SUBNORMALS]),
        nonfinite=nonfinite,
    )


def _row() -> tuple[Any, int]:
    """One buffer per thread: the backward pass may read gradients in a thread of its own."""
    if not hasattr(_own, "row"):
        _own.row = np.zeros(np_pass.WIDTH)
        _own.address = int(_own.row.ctypes.data)
    return _own.row, _own.address
