"""Calls: every torch call of a forward pass, named, in order; it can be observed or replaced."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any

import torch
import torch.functional
import torch.nn.functional
from torch import Tensor, nn
from torch import overrides as torch_overrides
from torch.overrides import TorchFunctionMode

from photic.probes.modules import Running, following, module_names
from photic.probes.operations import canonical
from photic.probes.replaced import replaced
from photic.probes.transforms import inside_transform
from photic.probes.where import user_line
from photic.records.vocabulary import Phase

overrides: Any = torch_overrides  # the stack of modes is torch's own business, hence the underscores
_DEFAULT: Any = getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None)  # holds the mode of `torch.set_default_device`
_TENSOR_ATTRIBUTES = {"T", "mT", "H", "mH", "data", "real", "imag"}
_NO_OPERATION = {
    "size", "dim", "numel", "is_floating_point", "is_complex", "tolist", "numpy", "stride", "data_ptr",
    "storage_offset", "element_size", "is_contiguous", "register_hook", "retain_grad", "requires_grad", "backward",
    "get_device", "len", "bool", "repr", "format", "hash", "set_grad_enabled", "is_same_size", "is_nonzero",
    "is_inference", "untyped_storage", "storage", "ndimension", "nelement", "cpu", "cuda", "zeros_like", "ones_like",
    "empty_like", "rand_like", "randn_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full", "new_tensor",
    "result_type", "can_cast", "equal", "allclose", "deepcopy", "reduce_ex", "index", "int", "dir", "float_power_check",
}  # fmt: skip


@dataclass(slots=True)
class Call:
    """One torch call on a signal of the network, before it runs."""

    name: str
    operation: str
    where: str
    phase: Phase
    module_path: str
    module: nn.Module | None
    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    def run(self) -> Any:
        """Run the call as it is and return its result."""
        return self.function(*self.args, **self.kwargs)

    @property
    def reflected(self) -> bool:
        """Whether the operands stand the other way round: `1 - x`."""
        return getattr(self.function, "__name__", "").startswith("__r")


Visitor = Callable[[Call], Any]
Fault = Callable[[Exception], None]


@dataclass(slots=True)
class _Naming:
    """Names calls: module path where torch's own module makes its own operation, else `path/operation#k`."""

    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def prefix(self, module: nn.Module | None, path: str, operation: str, phase: Phase) -> str:
        """Return what comes before the count."""
        if phase != "model":
            return f"<loss>/{operation}"
        own = module is not None and bool(path) and operation in _own_operations(type(module))
        return path if own else f"{path}/{operation}"

    def name(self, module: nn.Module | None, path: str, operation: str, phase: Phase) -> str:
        prefix = self.prefix(module, path, operation, phase)
        self.counts[prefix] += 1
        count = self.counts[prefix]
        own = phase == "model" and prefix == path
        return prefix if own and count == 1 else f"{prefix}#{count}"


_own: dict[type, frozenset[str]] = {}


def _own_operations(kind: type) -> frozenset[str]:
    """Return the operations that a torch.nn class exists to make: `Linear` makes `linear`."""
    if kind not in _own:
        found: set[str] = set()
        for base in kind.__mro__:
            if base.__module__.startswith("torch.nn.modules") and base is not nn.Module:
                word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", base.__name__).lower()
                plain = base.__name__.lower()
                found |= {word, plain, re.sub(r"_?[123]d$", "", word), re.sub(r"[123]d$", "", plain)}
                found |= _SPECIAL.get(base.__name__, set())
        _own[kind] = frozenset(found)
    return _own[kind]


_SPECIAL: dict[str, set[str]] = {
    "BatchNorm1d": {"batch_norm"},
    "BatchNorm2d": {"batch_norm"},
    "BatchNorm3d": {"batch_norm"},
    "SyncBatchNorm": {"batch_norm"},
    "LayerNorm": {"layer_norm"},
    "GroupNorm": {"group_norm"},
    "RMSNorm": {"rms_norm"},
    "InstanceNorm1d": {"instance_norm"},
    "InstanceNorm2d": {"instance_norm"},
    "ConvTranspose1d": {"conv_transpose1d"},
    "ConvTranspose2d": {"conv_transpose2d"},
    "ConvTranspose3d": {"conv_transpose3d"},
    "RNN": {"rnn_tanh", "rnn_relu"},
    "RNNCell": {"rnn_tanh_cell", "rnn_relu_cell"},
    "LSTMCell": {"lstm_cell"},
    "GRUCell": {"gru_cell"},
    "Dropout2d": {"dropout"},
    "AlphaDropout": {"dropout"},
    "AvgPool2d": {"avg_pool2d"},
    "Softmax2d": {"softmax"},
    "Upsample": {"upsample_nearest2d", "upsample_bilinear2d", "upsample_nearest1d"},
    "EmbeddingBag": {"embedding_bag"},
}


class Watcher(TorchFunctionMode):
    """Hands each call to the visitor, which runs it and returns its result."""

    def __init__(
        self, visitor: Visitor, running: Running, follows: Callable[[Tensor], bool], fault: Fault | None
    ) -> None:
        super().__init__()
        self._around = ExitStack()
        self.fault = fault
        self.follows = follows
        self.concerns: Callable[[str, Tensor], bool] = lambda _operation, _tensor: False
        self.visitor = visitor
        self.running = running
        self.naming = _Naming()
        self.phase: Phase = "model"
        self.located = True  # calls know their line of source
        self.off = False  # lets every call pass: set where the mode cannot be left at once
        self.thread = get_ident()
        self.entered = False

    def __enter__(self) -> Watcher:
        """Go above all modes that are there: within one block another may hand on other calls than it was given."""
        overrides._push_mode(self)
        self.entered = True
        return self

    def _go_beneath(self) -> None:
        """Go beneath all modes that are there: who leaves one of his own takes away the topmost."""
        above = [overrides._pop_mode() for _ in overrides._get_current_function_mode_stack()]
        if above and above[-1] is getattr(_DEFAULT, "device_context", None):  # torch wants it at the bottom
            overrides._push_mode(above.pop())
        for mode in (self, *reversed(above)):
            overrides._push_mode(mode)
        self.entered = True

    def __exit__(self, *_: object) -> None:
        self.off = True
        self.leave()

    def put_up(self) -> None:
        """Begin to see calls."""
        with ExitStack() as stack:
            stack.enter_context(following(self.running))
            stack.enter_context(opened_composites())
            self._go_beneath()
            self._around = stack.pop_all()

    def take_down(self) -> bool:
        """See nothing any more, and leave nothing behind; `put_up` goes on.

        False: a torch call of ours is under way, or this is another thread, and nothing can be taken away now.
        """
        if not self.leave():
            return False
        self._around.close()
        return True

    def end(self) -> bool:
        """Let everything pass from now on, and take away what can go; False while torch's stack of modes still holds ours."""
        self.off = True
        self._around.close()
        return self.leave()

    def leave(self) -> bool:
        """Leave torch's stack of modes, also from beneath others; False within a call of ours, or in another thread."""
        if not self.entered:
            return True
        if not any(mode is self for mode in overrides._get_current_function_mode_stack()):
            return False
        above: list[Any] = []
        while (mode := overrides._pop_mode()) is not self:
            above.append(mode)
        for mode in reversed(above):
            overrides._push_mode(mode)
        self.entered = False
        return True

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self.off:
            return func(*args, **kwargs)
        try:
            call = self._call(func, args, kwargs)
        except Exception as error:
            if self.fault is None:
                raise
            self.off = True
            self.fault(error)
            call = None
        return func(*args, **kwargs) if call is None else self.visitor(call)

    def _call(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call | None:
        """Return the call as it is handed over; None where it is no operation on a signal."""
        operation = canonical(func)
        if not self._signal(func, operation, args, kwargs):
            return None
        module = self.running.stack[-1] if self.running.stack else None
        path = self.running.path()
        name = self.naming.name(module, path, operation, self.phase)
        where = user_line(2) if self.located else ""
        return Call(name, operation, where, self.phase, path, module, func, args, kwargs)

    def _signal(self, func: Callable[..., Any], operation: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call is an operation on a signal."""
        return not (
            operation in _NO_OPERATION
            or (func.__name__ == "__get__" and operation not in _TENSOR_ATTRIBUTES)
            or get_ident() != self.thread
            or inside_transform()
            or not any(
                self.follows(tensor) or self.concerns(operation, tensor) for tensor in tensors_in((args, kwargs))
            )
        )


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in nested lists, tuples, dicts, dataclasses and mappings, in order."""
    found: list[Tensor] = []
    _collect(value, found, 0)
    return found


def _collect(value: Any, found: list[Tensor], depth: int) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif depth > 6 or value is None or isinstance(value, (str, int, float, bool)):
        return
    elif isinstance(value, (list, tuple)):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            _collect(item, found, depth + 1)
    elif isinstance(value, Mapping):
        for item in value.values():  # pyright: ignore[reportUnknownVariableType]
            _collect(item, found, depth + 1)
    elif hasattr(value, "__dataclass_fields__"):
        for attribute in value.__dataclass_fields__:
            _collect(getattr(value, attribute, None), found, depth + 1)
    elif isinstance(value, slice):
        _collect((value.start, value.stop, value.step), found, depth + 1)


def is_real(tensor: Tensor) -> bool:
    """Whether a tensor holds real or complex numbers."""
    return tensor.is_floating_point() or tensor.is_complex()


@contextmanager
def watching(
    model: nn.Module,
    visitor: Visitor,
    crossed: Callable[[Any, str], None] | None = None,
    follows: Callable[[Tensor], bool] = is_real,
    concerns: Callable[[str, Tensor], bool] | None = None,
) -> Iterator[Watcher]:
    """Hand every call inside the block to `visitor`, which must return `call.run()` or a substitute.

    Composite functions of `torch.nn.functional` are opened: their inner operations are the calls.
    `crossed` is told what enters and what leaves each module, and the path of the module on whose side it stands.
    `follows` tells of which tensors a call is handed over if it has one among its arguments; `concerns` of which further ones it is, by
    the operation.
    Set `.phase = "loss"` on the yielded object once the model has returned.
    """
    watcher = made(model, visitor, crossed, follows)
    watcher.concerns = concerns or watcher.concerns
    with following(watcher.running), opened_composites(), watcher:
        yield watcher


def made(
    model: nn.Module,
    visitor: Visitor,
    crossed: Callable[[Any, str], None] | None = None,
    follows: Callable[[Tensor], bool] = is_real,
    fault: Fault | None = None,
) -> Watcher:
    """Return what `watching` enters, to be put up and taken down at will.

    `fault` is told of errors of ours before a call has run, and the call runs; without it they are raised.
    """
    running = Running(module_names(model), fault=fault)
    running.crossed = crossed
    return Watcher(visitor, running, follows, fault)


_CHECKS = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")


@contextmanager
def opened_composites() -> Iterator[None]:
    """Let Python functions such as `F.cross_entropy` run their body, so that the mode sees what is inside.

    They ask `has_torch_function` first, which is true while any mode is active; here, in this thread, it is
    true for tensor subclasses only.
    """
    here = get_ident()

    def subclasses_only(original: Callable[..., bool], *given: Any) -> bool:
        if get_ident() != here:
            return original(*given)
        items: Any = given[0] if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
        return any(isinstance(item, Tensor) and type(item) not in _PLAIN and _overrides(item) for item in items)

    with ExitStack() as stack:
        for namespace in (torch.nn.functional, torch.functional):
            for check in _CHECKS:
                if hasattr(namespace, check):
                    stack.enter_context(replaced(namespace, check, subclasses_only))
        yield


_PLAIN = (Tensor, nn.Parameter, nn.Buffer)


def _overrides(tensor: Tensor) -> bool:
    return type(tensor).__torch_function__ is not torch._C._disabled_torch_function_impl  # pyright: ignore
