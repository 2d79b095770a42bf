"""The moments in one pass over memory, compiled by numba: float32, float64 and bfloat16 on the CPU."""

# numba is typed in part: `carray` and intrinsics take another form at compile time.
# pyright: reportCallIssue=false, reportUntypedFunctionDecorator=false
from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, float32, float64, int32, njit, types, uint16  # pyright: ignore
from numba.extending import intrinsic  # pyright: ignore

from photic.kernels.moments.rows import BINS, EVERY, LARGEST, NONFINITE, SQUARES, SUBNORMALS, SUM, WIDTH, ZEROS

_LINE = 16  # float32 numbers in a cache line
_BLOCK = 1024  # stays in the first cache; sums of a block run in float32, those over blocks in float64
NORMAL = 0x00800000  # the smallest normal float32
_INFINITE = 0x7F800000  # positive floats are ordered as their bits are
_SAFE_LOW, _SAFE_HIGH = 0x26901D7D, 0x58635FA9  # 1e-15 and 1e15: a block's squares fit into float32
REORDERED = {"reassoc", "contract", "nsz"}  # sums may run in lanes; nan and infinity keep their meaning


@intrinsic
def at(_: Any, address: Any, dtype: Any) -> Any:
    """Make a typed pointer of an address: no array object per tensor."""
    pointer = types.CPointer(dtype.dtype)

    def make(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(address, dtype), make


@njit(inline="always")
def _carefully(values: Any, bits: Any, out: Any) -> Any:
    """A block that holds nan, infinities, or magnitudes whose squares float32 cannot hold; returns the largest bits."""
    total = squares = 0.0
    nonfinite = 0
    largest = int32(0)
    for i in range(values.size):
        magnitude = bits[i] & int32(0x7FFFFFFF)
        if magnitude >= int32(_INFINITE):
            nonfinite += 1
            continue
        largest = max(largest, magnitude)
        value = float64(values[i])
        total += value
        squares += value * value
    out[SUM] += total
    out[SQUARES] += squares
    out[NONFINITE] += nonfinite
    return largest


@njit(inline="always")
def _block(values: Any, bits: Any, tiny: Any, out: Any) -> Any:
    """Add a block to `out` and return the bits of its largest finite magnitude."""
    largest = int32(0)
    zeros = int32(0)
    below = int32(0)
    for i in range(bits.size):
        magnitude = bits[i] & int32(0x7FFFFFFF)
        largest = max(largest, magnitude)
        zeros = int32(zeros + (magnitude == 0))
        below = int32(below + (magnitude < tiny))
    out[ZEROS] += zeros
    out[SUBNORMALS] += below - zeros
    if largest >= int32(_SAFE_HIGH) or largest < int32(_SAFE_LOW):
        return _carefully(values, bits, out)
    total = float32(0.0)
    squares = float32(0.0)
    for i in range(values.size):
        value = values[i]
        total += value
        squares += value * value
    out[SUM] += total
    out[SQUARES] += squares
    return largest


@njit(inline="always")
def count_exponents(bits: Any, every: Any, histogram: Any) -> None:
    """Count the exponents of one cache line in `every`."""
    for start in range(0, bits.size, _LINE * every):
        line = bits[start : start + _LINE]
        for i in range(line.size):
            histogram[(line[i] >> 23) & 255] += 1


@njit(inline="always")
def all_blocks(address: Any, count: Any, tiny: Any, result: Any) -> Any:
    """Write the sums of `count` float32 and return their bits."""
    values = carray(at(address, float32), count)
    bits = carray(at(address, int32), count)
    out = carray(at(result, float64), WIDTH)
    out[:] = 0.0
    largest = int32(0)
    for start in range(0, count, _BLOCK):
        stop = min(count, start + _BLOCK)
        largest = max(largest, _block(values[start:stop], bits[start:stop], tiny, out))
    carray(at(result + 8 * LARGEST, int32), 1)[0] = largest
    out[LARGEST] = carray(at(result + 8 * LARGEST, float32), 1)[0]
    return bits


@njit("void(uint64, int64, int64, int64, uint64, uint64)", fastmath=REORDERED, nogil=True, cache=True)
def pass_float32(address: Any, count: Any, tiny: Any, every: Any, result: Any, histogram: Any) -> None:
    """Write the sums of `count` float32 at `address` to WIDTH float64 at `result`, which it overwrites.

    `tiny` are the bits of the smallest normal number of the dtype that the values came from. With `every` > 0 the
    exponents of one cache line in so many are added to BINS int64 at `histogram`.
    """
    bits = all_blocks(address, count, int32(tiny), result)
    if every > 0:
        count_exponents(bits, every, carray(at(histogram, types.int64), BINS))


@njit("void(uint64, int64, uint64, uint64)", fastmath=REORDERED, nogil=True, cache=True)
def glance_float32(address: Any, count: Any, result: Any, histogram: Any) -> None:
    """The same as a glance asks for it, some hundred times a step: each argument less is a tenth of a microsecond.

    No exponents are counted where `histogram` is 0: that is a third of the pass.
    """
    bits = all_blocks(address, count, int32(NORMAL), result)
    if histogram != 0:
        count_exponents(bits, EVERY, carray(at(histogram, types.int64), BINS))


@njit("void(uint64, int64, int64, int64, uint64, uint64)", fastmath=REORDERED, nogil=True, cache=True)
def pass_bfloat16(address: Any, count: Any, tiny: Any, every: Any, result: Any, histogram: Any) -> None:
    """The same for bfloat16, which is the upper half of a float32: widened block by block."""
    short = carray(at(address, uint16), count)
    out = carray(at(result, float64), WIDTH)
    out[:] = 0.0
    bits = np.empty(_BLOCK, np.int32)
    values = bits.view(np.float32)
    largest = int32(0)
    for start in range(0, count, _BLOCK):
        half = short[start : min(count, start + _BLOCK)]
        for i in range(half.size):
            bits[i] = int32(half[i]) << int32(16)
        largest = max(largest, _block(values[: half.size], bits[: half.size], int32(tiny), out))
        if every > 0:
            count_exponents(bits[: half.size], every, carray(at(histogram, types.int64), BINS))
    carray(at(result + 8 * LARGEST, int32), 1)[0] = largest
    out[LARGEST] = carray(at(result + 8 * LARGEST, float32), 1)[0]


@njit("void(uint64, int64, uint64)", fastmath=REORDERED, nogil=True, cache=True)
def pass_float64(address: Any, count: Any, result: Any) -> None:
    """The same for float64, without a histogram; squares are scaled where they would leave float64's range."""
    values = carray(at(address, float64), count)
    bits = carray(at(address, types.int64), count)
    out = carray(at(result, float64), WIDTH)
    out[:] = 0.0
    largest = 0.0
    zeros = below = nonfinite = 0
    for i in range(count):
        magnitude = bits[i] & 0x7FFFFFFFFFFFFFFF
        zeros += magnitude == 0
        below += magnitude < 0x0010000000000000
        if magnitude >= 0x7FF0000000000000:
            nonfinite += 1
        else:
            largest = max(largest, abs(values[i]))
    scale = largest if largest > 0.0 and not (1e-140 < largest < 1e140) else 1.0
    total = squares = 0.0
    for i in range(count):
        if nonfinite == 0 or np.isfinite(values[i]):
            value = values[i] / scale
            total += value
            squares += value * value
    out[SUM] = total * scale
    out[SQUARES] = squares * scale * scale
    out[7] = squares / count if count else 0.0  # mean square in units of the scale: the square itself may be 0
    out[LARGEST] = largest
    out[ZEROS] = zeros
    out[SUBNORMALS] = below - zeros
    out[NONFINITE] = nonfinite
