"""Shared arguments: what enters a logarithm or a root is made positive for all that take it, so that the formula stays one."""

from __future__ import annotations

import weakref
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten  # pyright: ignore[reportPrivateUsage]

from photic.probes.calls import Call


class Shared:
    """The argument of one call, by the tensor itself; calls that take the same tensor are given it through the same softplus.

    Which of another call's arguments it is, by place or by name, shows in the first pass. What runs before the call itself is given it
    from the second on, so a pass is made before the training.
    """

    def __init__(self) -> None:
        self._places: dict[str, set[int]] = {}  # among all that a call is given, in order
        self._before: dict[str, list[Any]] = {}
        self._current: weakref.ref[Tensor] | None = None

    def itself(self, call: Call) -> Any:
        """Make the call whose argument it is."""
        x = next(one for one in _given(call) if isinstance(one, Tensor))
        self._current = weakref.ref(x)
        for name, given in self._before.items():
            self._places[name] = {place for place, one in enumerate(given) if one is x}
        self._before.clear()
        return _with(call, {place for place, one in enumerate(_given(call)) if one is x})

    def other(self, call: Call) -> Any:
        """Make a call that may take the same."""
        given = _given(call)
        current = None if self._current is None else self._current()
        if call.name not in self._places:
            if current is None:
                self._before[call.name] = given  # of the last pass alone
            else:
                self._places[call.name] = {place for place, one in enumerate(given) if one is current}
        return _with(call, self._places.get(call.name, set()))


def positive(x: Tensor) -> Tensor:
    """Return softplus(x) and so much that its inverse is a number of that type."""
    return F.softplus(x) + max(1e-6, torch.finfo(x.dtype).tiny ** 0.5)


def _given(call: Call) -> list[Any]:
    return tree_flatten((call.args, call.kwargs))[0]


def _with(call: Call, places: set[int]) -> Any:
    given, form = tree_flatten((call.args, call.kwargs))
    args, kwargs = tree_unflatten([positive(one) if i in places else one for i, one in enumerate(given)], form)
    return call.function(*args, **kwargs)
