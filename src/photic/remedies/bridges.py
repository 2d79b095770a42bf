"""Bridges: a gradient handed over where a signal left torch, and parameters that the model takes in where it uses them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.calls import Call


class Bridge:
    """What leaves at one call comes back at another with as many numbers and no history: the gradient is handed over.

    Of maps that came back in another size it is that of the same maps, enlarged or thinned out.

    Where it was scaled on the way, the gradient is that of the straight line through what left and what came back, column by column.
    At the end the first argument counts, or the result where `result` is true; its value stays.
    """

    def __init__(self, *, result: bool) -> None:
        self.result = result
        self.left: Tensor | None = None

    def leave(self, call: Call) -> Any:
        """Keep what the call makes; of a `detach` what it takes."""
        value = call.run()
        kept = call.args[0] if call.operation in ("detach", "data") else value
        self.left = kept if isinstance(kept, Tensor) and kept.requires_grad else None
        return value

    def come_back(self, call: Call) -> Any:
        """Make the call, with the gradient handed over where there are as many numbers."""
        left, self.left = self.left, None
        if self.result:
            return _joined(call.run(), left)
        return call.function(_joined(call.args[0], left), *call.args[1:], **call.kwargs)


def _joined(value: Any, left: Tensor | None) -> Any:
    if left is None or not isinstance(value, Tensor):
        return value
    if value.numel() != left.numel():
        if left.shape[:2] != value.shape[:2] or left.ndim != value.ndim or not 3 <= left.ndim <= 5:
            return value
        left = F.interpolate(left, size=value.shape[2:], mode="nearest")
    left = left.reshape(value.shape)
    return value + _slope(left.detach(), value) * (left - left.detach())


def _slope(left: Tensor, value: Tensor) -> Tensor:
    """Return how much a column of the value moves with that of what left, over the examples; 1 where that is not known."""
    ones = torch.ones((), dtype=left.dtype, device=left.device)
    if left.ndim < 2 or len(left) < 3 or not value.is_floating_point():
        return ones
    with torch.no_grad():
        away = left - left.mean(0)
        moved = away.square().sum(0)
        return torch.where(moved > 0.0, (away * (value - value.mean(0))).sum(0) / moved, ones)


class Adopted:
    """The model takes in the parameters of one call that it does not list, when it is first made, and uses these from then on."""

    def __init__(self, model: nn.Module, prefix: str) -> None:
        self.model, self.prefix = model, prefix

    def __call__(self, call: Call) -> Any:
        """Make the call with the model's own parameters."""
        args = [self._own(value, f"{self.prefix}_{place}") for place, value in enumerate(call.args)]
        kwargs = {name: self._own(value, f"{self.prefix}_{name}") for name, value in call.kwargs.items()}
        return call.function(*args, **kwargs)

    def _own(self, value: Any, name: str) -> Any:
        own = self.model._parameters.get(name)
        if own is not None:
            return own
        leaf = isinstance(value, Tensor) and value.is_leaf and value.requires_grad
        if not leaf or any(value is parameter for parameter in self.model.parameters()):
            return value
        with torch.no_grad():
            parameter = value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone())
        self.model.register_parameter(name, parameter)
        return parameter
