"""Moments of a tensor: count, mean, root mean square, maximum, zeros, subnormals, non-finite elements."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from photic.kernels.moments import torch_passes
from photic.records.moments import Moments

__all__ = ["cpu_pass", "gpu_pass", "moments"]


def moments(tensor: Tensor) -> Moments:
    """Return the moments of a tensor by the fastest version that works here; all match `reference`."""
    gpu = gpu_pass() if tensor.is_cuda else None
    if gpu is not None and gpu.readable(tensor):
        return gpu.moments(tensor)
    return _fastest()(tensor)


@lru_cache(maxsize=1)
def gpu_pass() -> ModuleType | None:
    """Return the module of the GPU's pass once it has read a tensor there; None, and one line, where it cannot."""
    try:
        from photic.kernels.moments import triton_pass

        triton_pass.moments(torch.ones(3, device="cuda"))
    except Exception as error:  # triton or its compiler is missing, or the device is too old for it
        logging.getLogger("photic").warning("the GPU's kernel cannot be used (%s); torch's are slower", error)
        return None
    return triton_pass


@lru_cache(maxsize=1)
def cpu_pass() -> ModuleType | None:
    """Return the module of the CPU's compiled pass; None, and one line, where it cannot be used."""
    try:
        from photic.kernels.moments import compiled
    except Exception as error:  # numba is missing, too new for this Python, or cannot write its cache
        logging.getLogger("photic").warning("the compiled kernels cannot be used (%s); torch's are slower", error)
        return None
    return compiled


@lru_cache(maxsize=1)
def _fastest() -> Callable[[Tensor], Moments]:
    compiled = cpu_pass()
    return torch_passes.moments if compiled is None else compiled.moments
