"""A glance: signal and error gradient of every module's output on a sampled step, one pass over each tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from photic.kernels.moments import moments, numba_pass
from photic.records.moments import Moments

_TINY = 0x00800000
_EVERY = 16  # the histogram counts one cache line in so many


class Glance:
    """Hooks on the leaf modules while it is on; what they read lies in two preallocated tables.

    A forward hook reads the output and sets a tensor hook on it, which reads the gradient: exact also before in-place
    operations, and no module backward hooks. Nothing is attached while it is off.
    """

    def __init__(self, model: nn.Module, names: dict[int, str], fault: Callable[[Exception], None]) -> None:
        self.leaves = [module for module in model.modules() if next(module.children(), None) is None]
        self.names = [names.get(id(module), "") for module in self.leaves]
        self.fault = fault
        count = max(1, len(self.leaves))
        self.signals: NDArray[np.float64] = np.zeros((count, numba_pass.WIDTH))
        self.gradients: NDArray[np.float64] = np.zeros((count, numba_pass.WIDTH))
        self.histograms: NDArray[np.int64] = np.zeros((2, count, numba_pass.BINS), np.int64)
        self.counts: NDArray[np.int64] = np.zeros((2, count), np.int64)
        self._handles: list[RemovableHandle] = []
        self._hooks = [
            _Reader(self, k, self.signals[k].ctypes.data, self.histograms[0, k].ctypes.data) for k in range(count)
        ]
        self._echoes = [
            _Reader(self, k, self.gradients[k].ctypes.data, self.histograms[1, k].ctypes.data) for k in range(count)
        ]
        self.on = False

    def install(self) -> None:
        """Attach the hooks and forget what was read before."""
        self.counts[:] = 0
        self.histograms[:] = 0
        if not self.on:
            for k, module in enumerate(self.leaves):
                self._handles.append(module.register_forward_hook(_Forward(self, k)))
            self.on = True

    def remove(self) -> None:
        """Detach everything."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.on = False

    def saw(self, k: int, output: Any) -> None:
        """Read an output and listen to its gradient; the last call of a module counts."""
        if type(output) is not Tensor or not output.requires_grad or not output.is_floating_point():
            return
        self.counts[0, k] = self._hooks[k].read(output.detach())
        output.register_hook(self._echoes[k].heard)

    def moments(self, which: int) -> list[Moments | None]:
        """Return what was read, 0 the signals, 1 the gradients; None for what did not run."""
        table = (self.signals, self.gradients)[which]
        return [_summary(table[k], int(self.counts[which, k])) for k in range(len(self.leaves))]


class _Forward:
    """A forward hook. A class: closures would keep the model from being pickled while it is watched."""

    __slots__ = ("glance", "k")

    def __init__(self, glance: Glance, k: int) -> None:
        self.glance, self.k = glance, k

    def __call__(self, module: nn.Module, given: Any, output: Any) -> None:
        try:
            self.glance.saw(self.k, output)
        except Exception as error:
            self.glance.fault(error)


class _Reader:
    """Reads a tensor into one row."""

    __slots__ = ("glance", "histogram", "k", "row")

    def __init__(self, glance: Glance, k: int, row: int, histogram: int) -> None:
        self.glance, self.k, self.row, self.histogram = glance, k, int(row), int(histogram)

    def heard(self, gradient: Tensor) -> None:
        try:
            self.glance.counts[1, self.k] = self.read(gradient)
        except Exception as error:
            self.glance.fault(error)

    def read(self, values: Tensor) -> int:
        """Write the moments of a tensor into the row and return its number of elements."""
        count = values.numel()
        if values.dtype is torch.float32 and values.device.type == "cpu" and values.is_contiguous():
            numba_pass.pass_float32(
                values.data_ptr(), count, _TINY, -math.inf, math.inf, _EVERY, self.row, self.histogram
            )
        else:
            self._slowly(moments(values.detach()))
        return count

    def _slowly(self, read: Moments) -> None:
        table = self.glance.signals if self.row == self.glance.signals[self.k].ctypes.data else self.glance.gradients
        finite = read.count - read.nonfinite
        row = table[self.k]
        row[numba_pass.SUM] = read.mean * finite
        row[numba_pass.SQUARES] = read.rms * read.rms * finite
        row[numba_pass.LARGEST] = read.maximum
        row[numba_pass.ZEROS] = read.zeros
        row[numba_pass.SUBNORMALS] = read.subnormals
        row[numba_pass.NONFINITE] = read.nonfinite


def _summary(row: NDArray[np.float64], count: int) -> Moments | None:
    if count == 0:
        return None
    from photic.kernels.moments.compiled import summary

    return summary(row.tolist(), count, exact=False)
