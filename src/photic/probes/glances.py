"""A glance: signal and error gradient of every module's output on a sampled step, one pass over each tensor."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from photic.kernels.moments import cpu_pass, gpu_pass, moments, rows
from photic.probes.compiled import original, unwarned
from photic.probes.scaling import unscaled
from photic.probes.transforms import inside_transform
from photic.records.histograms import packed
from photic.records.moments import Moments

_FLOAT32, _COMPILED = torch.float32, cpu_pass()
_PASS: Any = None if _COMPILED is None else _COMPILED.np_pass.glance_float32
_TEAM: Any = None if _COMPILED is None else _COMPILED.team  # for what is large, where torch has threads that it can use
_FEW: float = math.inf if _TEAM is None else _TEAM.FEW


def leaves_of(model: nn.Module) -> list[nn.Module]:
    """Return the modules at which a glance looks: those without parts, and attention, which calls none of its own."""
    inside = {id(p) for m in model.modules() if isinstance(m, nn.MultiheadAttention) for p in m.modules() if p is not m}
    return [
        module
        for module in model.modules()
        if id(module) not in inside
        and (next(module.children(), None) is None or isinstance(module, nn.MultiheadAttention))
    ]


def _outermost(model: nn.Module) -> dict[int, nn.Module]:
    """Return by module the one that a training step calls and in which it lies: a list of modules is none."""
    found: dict[int, nn.Module] = {}
    for root in list(model.children()) if isinstance(model, (nn.ModuleDict, nn.ModuleList)) else [model]:
        for module in root.modules():
            found.setdefault(id(module), original(root))
    return found


def _first(output: Any) -> Any:
    """Return the first part of what a module made: the output of an LSTM or of attention, beside states and weights."""
    while isinstance(output, (tuple, list)) and output:
        output = output[0]  # pyright: ignore[reportUnknownVariableType]
    return output  # pyright: ignore[reportUnknownVariableType]


class Glance:
    """Reads the leaf modules while it is on; what it reads lies in two preallocated tables.

    torch's global forward hook reads an output and sets a hook on its node, which reads the gradient: exact also before
    in-place operations, and no module backward hooks. Nothing lies in the model, and nothing is up while it is off.
    """

    def __init__(self, model: nn.Module, names: dict[int, str], fault: Callable[[Exception], None]) -> None:
        self.leaves = leaves_of(model)
        self._outermost = _outermost(model)
        self.names = [names.get(id(module), "") for module in self.leaves]
        self.fault = fault
        count = max(1, len(self.leaves))
        self.signals: NDArray[np.float64] = np.zeros((count, rows.WIDTH))
        self.gradients: NDArray[np.float64] = np.zeros((count, rows.WIDTH))
        self.histograms: NDArray[np.int64] = np.zeros((2, count, rows.BINS), np.int64)
        self.counts = ([0] * count, [0] * count)
        self.on_device: dict[torch.device, Any] = {}  # rows of tensors on GPUs: signals, then gradients
        self.launched: set[int] = set()  # places in those rows that this step filled
        self.scale = 1.0  # what a gradient scaler multiplied the loss by: what is told of gradients is without it
        self._latest: tuple[Any, int, Any] = (
            lambda: None,
            0,
            (),
        )  # the last tensor that was read, its version, by whom
        self._handed_on: dict[Any, Any] = {}  # readers of modules that return what they get, and who has read it
        self._up = ExitStack()
        self._attached = False
        tables = ((self.signals, self.histograms[0]), (self.gradients, self.histograms[1]))
        signals, gradients = (
            [_Reader(self, self.counts[w], k, table[k], lines[k], w * count + k) for k in range(len(self.leaves))]
            for w, (table, lines) in enumerate(tables)
        )
        self._readers = {id(m): pair for m, pair in zip(self.leaves, zip(signals, gradients, strict=True), strict=True)}
        self.on = False
        self.counting = True

    def count_magnitudes(self, counting: bool) -> None:
        """Say whether the histograms are wanted of what is read from now on: a third of the cost of a large tensor."""
        if counting != self.counting:
            self.counting = counting
            for pair in self._readers.values():
                for reader in pair:
                    reader.histogram = int(reader.lines.ctypes.data) if counting else 0

    def install(self) -> None:
        """Attach the hooks and forget what was read before."""
        for counts in self.counts:
            counts[:] = [0] * len(counts)
        self.launched.clear()
        self._handed_on.clear()
        self.scale = 1.0
        self.histograms[:] = 0
        self.attach()

    def attach(self) -> None:
        """Attach the hooks and go on reading."""
        if not self._attached:
            self._attached = True
            self._up.enter_context(unwarned())
            self._up.callback(register_module_forward_hook(self._ran).remove)
        self.on = True

    def _ran(self, module: nn.Module, given: Any, output: Any) -> None:
        """Read an output and listen to its gradient; all calls of a module in a step are taken together."""
        readers = self._readers.get(id(module))
        if readers is None or not (module.training or self._outermost[id(module)].training):  # an evaluation is none
            return
        try:
            if type(output) is not Tensor:
                output = _first(output)
            if type(output) is not Tensor or not output.requires_grad or inside_transform():
                return
            latest = self._latest
            if given and output is given[0] and latest[0]() is output and latest[1] == output._version:
                self._handed_on[readers] = latest[2]  # dropout of nothing, an identity: read once, told twice
                return
            reader, echo = readers
            reader(output)
            if output.is_cpu:  # rows on a GPU are fetched later than they are shared
                self._latest = weakref.ref(output), output._version, readers
            node = output.grad_fn
            if node is None:  # a parameter handed through
                return
            # A node's pre-hook is set in C, at a third of the cost of a tensor hook, and hears the same: the whole
            # gradient of this output, before whatever happens to the value in place afterwards.
            node.register_prehook(echo.heard)
            echo.number = output.output_nr
        except Exception as error:
            self.fault(error)

    def launch(self, place: int, values: Tensor) -> bool:
        """Have a GPU read a tensor, and go on at once; False where it cannot. A second reading is added to the first."""
        gpu = gpu_pass()
        if gpu is None or not gpu.readable(values):
            return False
        held = self.on_device.get(values.device)
        if held is None:
            held = self.on_device[values.device] = gpu.DeviceRows(2 * len(self.signals), values.device)
        held.read(place, values, add=place in self.launched)
        self.launched.add(place)
        return True

    def detach(self) -> None:
        """Take the hooks away; what was read stays, and `attach` goes on."""
        self._attached = False
        self._up.close()

    def remove(self) -> None:
        """Detach everything."""
        self.detach()
        self.on = False

    def histogram(self, which: int) -> bytes:
        """Return the shares of the octaves of every module's magnitudes as a row of a store: see `records.histograms`.

        Of one cache line in sixteen; zeros throughout for what was read without (a GPU, float64).
        """
        self._share()
        return packed(self.histograms[which])

    def moments(self, which: int) -> list[Moments | None]:
        """Return what was read, 0 the signals, 1 the gradients; None for what did not run."""
        table = self._fetched(which)
        read = [_summary(table[k], self.counts[which][k]) for k in range(len(self.leaves))]
        return [unscaled(each, self.scale) for each in read] if which else read

    def _fetched(self, which: int) -> NDArray[np.float64]:
        """Return the table; here, and nowhere else, a glance waits for a GPU."""
        self._share()
        table = (self.signals, self.gradients)[which]
        for held in self.on_device.values():
            held.send()
            for place, row in enumerate(held.take()):
                if place in self.launched and place // len(table) == which:
                    table[place % len(table)] = row
        return table

    def _share(self) -> None:
        """Tell of modules that returned what they got what was read of it."""
        for own, others in self._handed_on.items():
            for reader, other in zip(own, others, strict=True):
                reader.add(other.table, other.counts[other.k])
                reader.lines += other.lines
        self._handed_on.clear()

    def sizes(self, which: int) -> NDArray[np.float64]:
        """Return what was read as one number a module, 0 the rms of the signals, 1 the norms of the gradients.

        nan where nothing was read, inf where an element is not finite. Waits for a GPU, as `moments` does.
        """
        table, counts = self._fetched(which), np.asarray(self.counts[which], np.float64)
        finite = counts - table[:, rows.NONFINITE]
        with np.errstate(invalid="ignore", divide="ignore"):
            sizes = np.sqrt(table[:, rows.SQUARES] / (self.scale**2 if which else finite))
        sizes[finite < counts] = math.inf
        sizes[counts == 0.0] = math.nan
        return sizes


class _Reader:
    """Reads a tensor into one row; called some hundred times a step, so it does nothing twice."""

    __slots__ = ("counts", "glance", "histogram", "k", "lines", "number", "place", "row", "table")

    def __init__(
        self,
        glance: Glance,
        counts: list[int],
        k: int,
        table: NDArray[np.float64],
        lines: NDArray[np.int64],
        place: int,
    ) -> None:
        self.place = place
        self.glance, self.counts, self.k, self.table, self.lines = glance, counts, k, table, lines
        self.row, self.histogram = int(table.ctypes.data), int(lines.ctypes.data)
        self.number = 0

    def heard(self, arrived: Any) -> None:
        """Read the gradient of the output that the module made; called by its node."""
        values = arrived[self.number] if self.number < len(arrived) else None
        if values is not None:
            self(values)

    def __call__(self, values: Tensor) -> None:
        try:
            count, counts, k = values.numel(), self.counts, self.k
            before = self.table.copy() if counts[k] else None
            plain = values.dtype is _FLOAT32 and values.is_cpu and values.is_contiguous()
            # Zeros that torch keeps without memory have the address 0.
            if _PASS is not None and plain and (pointer := values.data_ptr()):
                if count < _FEW:
                    _PASS(pointer, count, self.row, self.histogram)
                else:
                    _TEAM.glance_float32(pointer, count, self.row, self.histogram)
            elif values.is_cuda and self.glance.launch(self.place, values.detach()):
                counts[k] += count
                return
            else:
                self._slowly(values.detach())
            if before is None:
                counts[k] = count
            else:  # the module ran before in this step
                self.add(before, count)
        except Exception as error:
            self.glance.fault(error)

    def add(self, row: NDArray[np.float64], count: int) -> None:
        """Add a row to this one, and to its count."""
        if not self.counts[self.k]:
            self.table[:] = 0.0  # of an earlier step
        largest = max(row[rows.LARGEST], self.table[rows.LARGEST])
        self.table += row
        self.table[rows.LARGEST] = largest
        self.counts[self.k] += count

    def _slowly(self, values: Tensor) -> None:
        plain = values.is_cpu and type(values) is Tensor and values.layout is torch.strided and not values.is_neg()
        if (
            plain
            and _COMPILED is not None
            and _COMPILED.read(values, self.row, every=rows.EVERY * bool(self.histogram), histogram=self.histogram)
        ):
            return
        read = moments(values)
        finite = read.count - read.nonfinite
        self.table[:] = 0.0
        self.table[rows.SUM] = read.mean * finite
        self.table[rows.SQUARES] = read.rms * read.rms * finite
        self.table[rows.LARGEST] = read.maximum
        self.table[rows.ZEROS] = read.zeros
        self.table[rows.SUBNORMALS] = read.subnormals
        self.table[rows.NONFINITE] = read.nonfinite


def _summary(row: NDArray[np.float64], count: int) -> Moments | None:
    if count == 0:
        return None
    return rows.summary(row.tolist(), count, exact=False)
