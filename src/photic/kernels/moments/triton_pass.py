"""The moments in one pass on the GPU: float32, bfloat16 and float16, without making the host wait."""

# triton is typed in part, and a kernel's arguments are pointers only on the device. Its compiler evaluates annotations: a name that
# is not triton's would stop it there, and not in its interpreter.
# pyright: reportUntypedFunctionDecorator=false, reportIndexIssue=false, reportCallIssue=false, reportMissingImports=false
# pyright: reportOperatorIssue=false, reportArgumentType=false, reportMissingParameterType=false
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from photic.kernels.moments.rows import dense, summary
from photic.records.moments import Moments

WIDTH = 8  # of a row: the same places as in `rows`; the last two stay 0
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_BLOCK = 4096
_PROGRAMS = 512  # each adds up every 512th block in float64; a second, small kernel adds up their rows


@triton.jit
def _read(values, count, rows, tiny, block: tl.constexpr):
    """Write the sums of every n-th block to one row of WIDTH float64, n programs in all."""
    program = tl.program_id(0).to(tl.int64)
    step = tl.num_programs(0).to(tl.int64) * block
    total = tl.zeros((), tl.float64)
    squares = tl.zeros((), tl.float64)
    largest = tl.zeros((), tl.int32)
    zeros = tl.zeros((), tl.int64)
    below = tl.zeros((), tl.int64)
    nonfinite = tl.zeros((), tl.int64)
    for start in range(program * block, count, step):
        at = start + tl.arange(0, block)
        inside = at < count
        value = tl.load(values + at, mask=inside, other=0.0).to(tl.float32)
        magnitude = value.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # ordered as positive floats are, subnormals too
        finite = magnitude < 0x7F800000
        nonfinite += tl.sum((inside & (magnitude >= 0x7F800000)).to(tl.int32))
        zeros += tl.sum((inside & (magnitude == 0)).to(tl.int32))
        below += tl.sum((inside & (magnitude < tiny)).to(tl.int32))
        value = tl.where(finite, value, 0.0)
        top = tl.max(tl.where(finite, magnitude, 0))
        largest = tl.maximum(largest, top)
        if (top < 0x58635FA9) & (top >= 0x26901D7D):  # 1e-15 to 1e15: the squares fit into float32
            total += tl.sum(value).to(tl.float64)
            squares += tl.sum(value * value).to(tl.float64)
        else:
            wide = value.to(tl.float64)
            total += tl.sum(wide)
            squares += tl.sum(wide * wide)
    row = rows + program * 8
    tl.store(row, total)
    tl.store(row + 1, squares)
    tl.store(row + 2, largest.to(tl.float32, bitcast=True).to(tl.float64))
    tl.store(row + 3, zeros.to(tl.float64))
    tl.store(row + 4, (below - zeros).to(tl.float64))
    tl.store(row + 5, nonfinite.to(tl.float64))


@triton.jit
def _add_up(rows, programs, result, most: tl.constexpr):
    """Add up the rows of all programs; program k does place k of the row. Of the largest, take the largest."""
    place = tl.program_id(0)
    at = tl.arange(0, most)
    part = tl.load(rows + at * 8 + place, mask=at < programs, other=0.0)
    tl.store(result + place, tl.where(place == 2, tl.max(part), tl.sum(part)))


def readable(values: Tensor) -> bool:
    """Tell whether `launch` can read this tensor: a plain one of real numbers of at most 32 bits, with memory of its own."""
    plain = type(values) is Tensor or type(values) is torch.nn.Parameter
    return (
        plain
        and values.dtype in DTYPES
        and values.layout is torch.strided
        and not values.is_neg()
        and not values._is_zerotensor()
    )


def launch(values: Tensor, row: Tensor) -> None:
    """Write the sums of a tensor to WIDTH float64 on its device; the host goes on at once.

    Source of the places in the row: `rows`. The sums of a block run in float32 (a tree of 4,096), those over
    blocks in float64; blocks whose squares float32 cannot hold are read in float64.
    """
    values = dense(values.detach())
    count = values.numel()
    programs = max(1, min(_PROGRAMS, triton.cdiv(count, _BLOCK)))
    rows = torch.empty((programs, WIDTH), dtype=torch.float64, device=values.device)
    # float32 and bfloat16 share their exponent; a float16 is subnormal below 2^-14, also once it is widened.
    tiny = 0x38800000 if values.dtype is torch.float16 else 0x00800000
    _read[(programs,)](values, count, rows, tiny, block=_BLOCK, enable_fp_fusion=True)
    _add_up[(6,)](rows, programs, row, most=_PROGRAMS, enable_fp_fusion=True)


class DeviceRows:
    """A table of rows on the device, and its copy on the host, which is asked for and taken at another time.

    `launch` fills rows, `send` queues the copy behind them, `take` waits for that copy alone.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        cuda = device.type == "cuda"
        self.table = torch.zeros((count, WIDTH), dtype=torch.float64, device=device)
        self._host = torch.zeros((count, WIDTH), dtype=torch.float64, pin_memory=cuda)
        self._sent = torch.cuda.Event() if cuda else None

    def read(self, place: int, values: Tensor, *, add: bool) -> None:
        """Have a tensor read into a row, or with `add` have the row hold both."""
        row = self.table[place]
        if not add:
            launch(values, row)
            return
        other = torch.zeros_like(row)
        launch(values, other)
        largest = torch.maximum(row[2], other[2])
        row.add_(other)
        row[2].copy_(largest)

    def send(self) -> None:
        """Queue the copy to the host."""
        self._host.copy_(self.table, non_blocking=True)
        if self._sent is not None:
            self._sent.record()

    def take(self) -> list[list[float]]:
        """Return the rows as they were when `send` was called."""
        if self._sent is not None:
            self._sent.synchronize()
        return self._host.tolist()


def moments(tensor: Tensor) -> Moments:
    """Return the moments of one tensor at once (this waits for the device); rms and mean to 1e-6 of the rms."""
    values = tensor.detach()
    if values.numel() == 0:
        return Moments(0, 0.0, 0.0, 0.0)
    rows = DeviceRows(1, values.device)
    launch(values, rows.table[0])
    rows.send()
    return summary(rows.take()[0], values.numel(), exact=False)
