"""Answers put back into the order of their examples, where a forward sorts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class InOrder:
    """A model's forward whose answers stand in the order of its rows again. Survives deepcopy of the model."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the model gives, with the rows where they were before they were taken in another order."""
        with _Orders() as orders:
            value = self.forward(*args, **kwargs)
        if orders.last is None or not isinstance(value, Tensor) or value.ndim < 1 or len(value) != len(orders.last):
            return value
        return value[orders.last.argsort()]


class _Orders(TorchFunctionMode):
    """Remembers the last order in which all rows of a tensor were taken; None once they were put back."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        taken = func.__name__ in ("__getitem__", "index_select") and len(args) > 1 and isinstance(args[0], Tensor)
        order = args[-1] if taken else None
        if isinstance(order, Tensor) and order.dtype == torch.int64 and order.ndim == 1 and args[0].ndim > 1:
            rows = torch.arange(len(order), device=order.device)
            if len(order) == len(args[0]) and torch.equal(order.sort().values, rows):
                back = self.last is not None and len(self.last) == len(order) and torch.equal(self.last[order], rows)
                self.last = None if back else order
        return func(*args, **(kwargs or {}))
