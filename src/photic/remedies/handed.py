"""Handed weights: what is written into a layer's parameters, or wrapped as one, is used by the layer itself, with its history."""

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


class Rejoined:
    """Calls make what parameters are then made of, others use these: they are given what was made itself."""

    def __init__(self) -> None:
        self.made: dict[str, Tensor] = {}  # by the call, so that the last forward's is let go

    def keep(self, call: Call) -> Any:
        """Let the call make it, and keep it."""
        value = call.run()
        if isinstance(value, Tensor) and value.requires_grad:
            self.made[call.name] = value
        return value

    def use(self, call: Call) -> Any:
        """Make the call with what has the numbers of its parameters, and a history."""
        kwargs = {name: self._itself(value) for name, value in call.kwargs.items()}
        return call.function(*map(self._itself, call.args), **kwargs)

    def _itself(self, value: Any) -> Any:
        if not isinstance(value, nn.Parameter):
            return value
        same = (one for one in self.made.values() if one.data_ptr() == value.data_ptr() and one.shape == value.shape)
        return next(same, value)
