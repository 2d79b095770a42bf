"""Carried: a state that an earlier step made is given to a later one in the place of zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from photic.probes.calls import Call
from photic.probes.time_axis import FUSED


class Given:
    """Adds what was kept to the call's argument of that shape. `inner` is what is called in place of the site otherwise."""

    def __init__(self, inner: Callable[[Call], Any] | None, kept: list[Tensor]) -> None:
        self.inner, self.kept = inner, kept

    def __call__(self, call: Call) -> Any:
        """Make the call on the state that was kept."""
        state, self.kept[:] = list(self.kept), []
        args: list[Any] = list(call.args)
        first = 1 if call.operation in FUSED else 0  # what enters may have the shape of the state
        for place, value in enumerate(args[first:], first):
            plain = isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
            if len(state) == 1 and plain and value.shape == state[0].shape:
                args[place] = value + state[0]
                break
            # Of an LSTM's cell: what it says, and what it keeps.
            if isinstance(value, (tuple, list)) and _fits(value, state):
                args[place] = tuple(old + new for old, new in zip(value, state, strict=True))
                break
        call = replace(call, args=tuple(args))
        return call.run() if self.inner is None else self.inner(call)


class Ended:
    """Keeps the state in which a fused recurrent call ends: (h,), or (h, c) of an LSTM."""

    def __init__(self, inner: Callable[[Call], Any] | None, kept: list[Tensor]) -> None:
        self.inner, self.kept = inner, kept

    def __call__(self, call: Call) -> Any:
        """Make the call and keep its last state."""
        result = call.run() if self.inner is None else self.inner(call)
        self.kept[:] = result[1:]
        return result


def _fits(value: Sequence[Any], state: Sequence[Tensor]) -> bool:
    return len(value) == len(state) > 1 and all(
        isinstance(old, Tensor) and old.shape == new.shape for old, new in zip(value, state, strict=True)
    )
