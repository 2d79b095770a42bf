"""Surgery: modules that torch does not know of are registered, and half precision becomes float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def register_modules(model: nn.Module) -> None:
    """Turn plain lists, tuples and dicts of modules into `ModuleList` and `ModuleDict`, in place."""
    for module in list(model.modules()):
        for name, value in list(vars(module).items()):
            if name.startswith("_"):
                continue
            known = _registered(value)
            if known is not None:
                setattr(module, name, known)
                register_modules(known)


def _registered(value: Any) -> nn.Module | None:
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, nn.Module) for item in value):  # pyright: ignore
        return nn.ModuleList(value)  # pyright: ignore
    if isinstance(value, dict) and value and all(isinstance(item, nn.Module) for item in value.values()):  # pyright: ignore
        return nn.ModuleDict({str(key): item for key, item in value.items()})  # pyright: ignore
    return None


def compute_in_float32(model: nn.Module) -> None:
    """Make all weights float32, and every floating-point number that enters."""
    model.float()
    model.__dict__["forward"] = _Widened(model.forward)


class _Widened:
    """A forward that takes its numbers in float32."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        wide = [_wide(value) for value in args]
        with torch.autocast("cpu", enabled=False), _NoNarrowing():
            return self.forward(*wide, **{name: _wide(value) for name, value in kwargs.items()})


_HALVES = (torch.float16, torch.bfloat16)


class _NoNarrowing(TorchFunctionMode):
    """Casts to half precision inside the forward become casts to float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.half, Tensor.bfloat16):
            return args[0].float()
        if func in (Tensor.to, Tensor.type):
            args = tuple(torch.float32 if any(item is half for half in _HALVES) else item for item in args)
        if any(kwargs.get("dtype") is half for half in _HALVES):
            kwargs["dtype"] = torch.float32
        return func(*args, **kwargs)


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
