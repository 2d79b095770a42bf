"""Handed weights: what is written into a layer's parameters is used by the layer itself, with its history."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from photic.probes.calls import Call


class Handed:
    """Calls write into parameters, another uses these: it is given what was written in their place."""

    def __init__(self) -> None:
        self.written: dict[int, Tensor] = {}  # by the address of the numbers

    def write(self, call: Call) -> Any:
        """Let the call write, and keep what it wrote."""
        value, result = call.args[-1], call.run()
        if isinstance(value, Tensor) and value.requires_grad:
            self.written[call.args[0].data_ptr()] = value
        return result

    def use(self, call: Call) -> Any:
        """Make the call with what was written."""
        args = [self._history(value) for value in call.args]
        kwargs = {name: self._history(value) for name, value in call.kwargs.items()}
        self.written.clear()
        return call.function(*args, **kwargs)

    def _history(self, value: Any) -> Any:
        made = self.written.get(value.data_ptr()) if isinstance(value, nn.Parameter) else None
        return value if made is None or made.numel() != value.numel() else made.reshape(value.shape).to(value.dtype)
