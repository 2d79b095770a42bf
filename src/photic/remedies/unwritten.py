"""Unwritten: parameters that a forward does not change, though its calls would write into them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from photic.probes.writing import writes


class Unwritten:
    """A model's forward in which no call writes into some parameters. Survives deepcopy of the model."""

    def __init__(self, model: nn.Module, forward: Callable[..., Any], names: Sequence[str]) -> None:
        self.model, self.forward, self.names = model, forward, tuple(names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model gives, with these parameters as the optimizer left them."""
        with _Refusing({self.model.get_parameter(name).untyped_storage().data_ptr() for name in self.names}):
            return self.forward(*args, **kwargs)


_GIVE_DATA: Any = torch.Tensor.data.__set__  # pyright: ignore  # past the gradient, whether one is recorded or not


class _Refusing(TorchFunctionMode):
    """Hands back what a call would write into, where that has one of these storages and no history is kept.

    A running mean that runs into the weights, w = a w + (1 - a) m, runs the other way: m = (1 - a) m + a w.
    """

    def __init__(self, storages: set[int]) -> None:
        super().__init__()
        self.storages = storages
        self.shares: dict[int, float] = {}  # by storage, the a of `w.mul_(a)`

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        into = args[0] if args else None
        kept = isinstance(into, Tensor) and into.requires_grad and torch.is_grad_enabled() and func != _GIVE_DATA
        if isinstance(into, Tensor) and writes(func.__name__) and not kept:
            with torch._C.DisableTorchFunction():
                if into.untyped_storage().data_ptr() in self.storages:
                    self._turned(func.__name__, into, args[1:], kwargs or {})
                    return into
        return func(*args, **(kwargs or {}))

    def _turned(self, name: str, into: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        place, other = into.untyped_storage().data_ptr(), args[0] if args else None
        if name == "mul_" and isinstance(other, float):
            self.shares[place] = other
        if not isinstance(other, Tensor) or other.shape != into.shape or other.requires_grad:
            return
        share: Any = None
        if name == "lerp_" and len(args) > 1 and isinstance(args[1], float):
            share = 1.0 - args[1]
        elif name == "add_" and abs(self.shares.pop(place, math.nan) + kwargs.get("alpha", 1.0) - 1.0) < 1e-6:
            share = 1.0 - kwargs.get("alpha", 1.0)
        if share is not None:
            other.lerp_(into.to(other.dtype), share)
