"""The moments by the compiled pass, for dense tensors on the CPU; everything else goes to torch's own reductions."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from photic.kernels.moments import numba_pass as np_pass
from photic.kernels.moments import torch_passes
from photic.kernels.moments.rows import WIDTH, dense, summary
from photic.records.moments import Moments

try:
    from photic.kernels.moments import team
except Exception:  # torch does not use libgomp here: one thread reads
    team = None
_TINY = {dtype: int(np.float32(torch.finfo(dtype).tiny).view(np.int32)) for dtype in (torch.float32, torch.float16)}
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
    if values.data_ptr() == 0:
        return torch_passes.moments(tensor)
    row, address = _row()
    if dtype is torch.float64:
        held = dense(values)
        np_pass.pass_float64(held.data_ptr(), count, address)
    elif not read(values, address):
        return torch_passes.moments(tensor)
    return summary(row.tolist(), count, exact=dtype is torch.float64)


def read(values: Tensor, row: int, *, every: int = 0, histogram: int = 0) -> bool:
    """Write the sums of a float32, bfloat16 or float16 tensor to the row at an address, and its histogram to another.

    False: it is none of these, and nothing was written; nor for zeros that torch keeps without memory, as the gradient of `sgn`.
    """
    dtype = values.dtype
    if values.data_ptr() == 0:
        return False
    if dtype is torch.float16:
        held = dense(values.float())
    elif dtype is torch.float32 or dtype is torch.bfloat16:
        held = dense(values)
    else:
        return False
    run = np_pass.pass_bfloat16 if dtype is torch.bfloat16 else np_pass.pass_float32
    tiny = _TINY[torch.float16 if dtype is torch.float16 else torch.float32]
    count = held.numel()
    if team is not None and count >= team.FEW and run is np_pass.pass_float32:
        run = team.pass_float32
    run(held.data_ptr(), count, tiny, every, row, histogram or row)
    return True


def _row() -> tuple[Any, int]:
    """One buffer per thread: the backward pass may read gradients in a thread of its own."""
    if not hasattr(_own, "row"):
        _own.row = np.zeros(WIDTH)
        _own.address = int(_own.row.ctypes.data)
    return _own.row, _own.address
