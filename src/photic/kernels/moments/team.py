"""A large float32 tensor read by torch's own team of threads: each reads a part that its own cache holds.

One thread alone would fetch half of what two have just written from the other's cache, and leave the tensor where the
next operation does not expect it: on two threads that costs a training more than the reading does. The team is the one
that libgomp keeps for torch (`GOMP_parallel`, as compilers call it); a second team would fight with it for the processors.
"""

# numba is typed in part: `carray`, intrinsics and external functions take another form at compile time.
# pyright: reportCallIssue=false, reportUntypedFunctionDecorator=false
from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llvmlite import binding
from numba import carray, cfunc, float64, int64, njit, types, uint64  # pyright: ignore

from photic.kernels.moments.numba_pass import NORMAL, REORDERED, all_blocks, at, count_exponents
from photic.kernels.moments.rows import BINS, EVERY, LARGEST, WIDTH

FEW = 1 << 16  # numbers; fewer are read by one thread as soon as a team is awake
_MOST = 64  # threads that get a part
_ALIGNED = 1024  # numbers: parts begin where a single thread would begin a block
_NAMES = {
    "GOMP_parallel": "photic_gomp_parallel",
    "omp_get_thread_num": "photic_thread",
    "omp_get_num_threads": "photic_threads",
    "omp_get_max_threads": "photic_max_threads",
}


def _name_symbols() -> None:
    """Name libgomp's functions for compiled code, from the library that torch has loaded.

    Raises:
        ImportError: if torch brought none: its builds for macOS, Windows and conda use other libraries.
    """
    for path in Path(torch.__file__).parent.glob("lib/libgomp*"):
        try:
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:  # there, and not the one that is used
            continue
        for theirs, ours in _NAMES.items():
            binding.add_symbol(ours, ctypes.cast(getattr(library, theirs), ctypes.c_void_p).value)
        return
    raise ImportError("torch uses no libgomp of its own here")


_name_symbols()
_parallel = types.ExternalFunction(
    _NAMES["GOMP_parallel"], types.void(types.uint64, types.uint64, types.uint32, types.uint32)
)
_thread = types.ExternalFunction(_NAMES["omp_get_thread_num"], types.int32())
_threads = types.ExternalFunction(_NAMES["omp_get_num_threads"], types.int32())
_max_threads = types.ExternalFunction(_NAMES["omp_get_max_threads"], types.int32())


@cfunc("void(uint64)", fastmath=REORDERED, cache=True)
def _part(task: Any) -> None:
    """Read this thread's part; called once by each thread of the team."""
    given = carray(at(task, int64), 7)
    address, count, tiny, every, rows, histograms = given[0], given[1], given[2], given[3], given[4], given[5]
    me, threads = int64(_thread()), min(int64(_threads()), int64(_MOST))
    if me >= threads:
        return
    if me == 0:
        given[6] = threads
    share = (count + threads - 1) // threads
    share = (share + _ALIGNED - 1) // _ALIGNED * _ALIGNED
    start = min(count, me * share)
    stop = min(count, start + share)
    bits = all_blocks(uint64(address + 4 * start), stop - start, types.int32(tiny), uint64(rows + 8 * WIDTH * me))
    if every > 0:
        mine = carray(at(uint64(histograms + 8 * BINS * me), int64), BINS)
        mine[:] = 0
        count_exponents(bits, every, mine)


@njit("void(uint64, int64, int64, int64, uint64, uint64, uint64)", fastmath=REORDERED, nogil=True, cache=True)
def _pass(address: Any, count: Any, tiny: Any, every: Any, result: Any, histogram: Any, part: Any) -> None:
    if _max_threads() < 2:
        bits = all_blocks(address, count, types.int32(tiny), result)
        if every > 0:
            count_exponents(bits, every, carray(at(histogram, int64), BINS))
        return
    rows = np.empty((_MOST, WIDTH), np.float64)
    histograms = np.empty((_MOST if every > 0 else 1, BINS), np.int64)
    task = np.empty(7, np.int64)
    task[0], task[1], task[2], task[3] = int64(address), count, tiny, every
    task[4], task[5] = int64(rows.ctypes.data), int64(histograms.ctypes.data)
    _parallel(part, task.ctypes.data, 0, 0)  # 0: all threads of the team; another number would make libgomp end some
    out = carray(at(result, float64), WIDTH)
    out[:] = 0.0
    for k in range(task[6]):
        largest = max(out[LARGEST], rows[k, LARGEST])
        for j in range(WIDTH):
            out[j] += rows[k, j]
        out[LARGEST] = largest
    if every > 0:
        total = carray(at(histogram, int64), BINS)
        for k in range(task[6]):
            for j in range(BINS):
                total[j] += histograms[k, j]


def pass_float32(address: int, count: int, tiny: int, every: int, result: int, histogram: int) -> None:
    """Do what `numba_pass.pass_float32` does, by all threads that torch would use here."""
    _pass(address, count, tiny, every, result, histogram, _PART)


def glance_float32(address: int, count: int, result: int, histogram: int) -> None:
    """The same as a glance asks for it: see `numba_pass.glance_float32`."""
    _pass(address, count, NORMAL, EVERY if histogram else 0, result, histogram, _PART)


_PART: int = _part.address  # pyright: ignore[reportAssignmentType]
