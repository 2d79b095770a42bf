"""Writing: calls that change a tensor in place, and the parameters that a forward writes into put back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_OPERATORS = {"add", "sub", "mul", "truediv", "floordiv", "mod", "pow"}


def writes(name: str) -> bool:
    """Whether a call of this name changes its first argument: `mul_`, `+=`, `x[0] = y`, and `x.data = y`."""
    plain = name.strip("_")
    if name.startswith("__"):
        return plain in ("setitem", "set") or (plain[:1] == "i" and plain[1:] in _OPERATORS)
    return name.endswith("_") and not name.endswith("requires_grad_")


def _place(value: Any) -> int:
    """Return the address of a tensor's memory; 0 for what has none, as within torch.func."""
    if not isinstance(value, Tensor):
        return 0
    try:
        return value.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0


class Written(TorchFunctionMode):
    """Keeps what parameters were, from before the first call within the block that writes into them; `put_back` restores it.

    Nothing is copied of those that no call writes into. Parameters without memory of their own (meta, gathered shards) are not looked at.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        plain = [p for p in model.parameters() if type(p) is nn.Parameter]
        self.places: defaultdict[int, list[nn.Parameter]] = defaultdict(list)  # several may be pieces of one memory
        for parameter in plain:
            self.places[_place(parameter)].append(parameter)
        self.places.pop(0, None)
        self.kept: list[tuple[nn.Parameter, Tensor, Tensor]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = (kwargs or {}).get("out")
        if args and self.places and (out is not None or writes(func.__name__)):
            with torch._C.DisableTorchFunction():
                given = args[0] if out is None else out
                for into in given if isinstance(given, (list, tuple)) else (given,):
                    self.kept += [(p, p.data, p.detach().clone()) for p in self.places.pop(_place(into), ())]
        return func(*args, **(kwargs or {}))

    def put_back(self) -> None:
        """Give the parameters their memory and their values back."""
        with torch._C.DisableTorchFunction():
            for parameter, memory, values in self.kept:
                parameter.data = memory
                memory.copy_(values)
