"""Shared arguments: what enters a logarithm or a root is made positive for all that take it, so that the formula stays one."""

from __future__ import annotations

import weakref
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from photic.probes.calls import Call

LEAST = 1e-6


class Shared:
    """The argument of one call, by the tensor itself; calls that take the same tensor are given it through the same softplus.

    Which argument of another call it is shows in the first pass. What runs before the call itself is given it from the second on, so a
    pass is made before the training.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._before: list[tuple[str, int, Tensor]] = []
        self._current: weakref.ref[Tensor] | None = None
        self._settled = False

    def itself(self, call: Call) -> Any:
        """Make the call whose argument it is."""
        x: Tensor = call.args[0]
        self._places |= {name: place for name, place, tensor in self._before if tensor is x}
        self._before.clear()
        self._current, self._settled = weakref.ref(x), True
        return call.function(positive(x), *call.args[1:], **call.kwargs)

    def other(self, call: Call) -> Any:
        """Make a call that may take the same."""
        given = [(place, value) for place, value in enumerate(call.args) if isinstance(value, Tensor)]
        current = None if self._current is None else self._current()
        if call.name not in self._places:
            for place, value in given:
                if value is current:
                    self._places[call.name] = place
            if not self._settled:
                self._before += [(call.name, place, value) for place, value in given]
        place = self._places.get(call.name)
        if place is None:
            return call.run()
        args = list(call.args)
        args[place] = positive(args[place])
        return call.function(*args, **call.kwargs)


def positive(x: Tensor) -> Tensor:
    """Return softplus(x) and a little."""
    return F.softplus(x) + LEAST
