"""Entries: a call that takes one entry of an axis is given the next one."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from photic.probes.calls import Call


def next_entry(call: Call) -> Any:
    """Return `x[:, i + 1]` where the call is `x[:, i]`, the first again after the last; another call as it is."""
    x, index = call.args[0], call.args[1] if len(call.args) > 1 else None
    places: list[Any] = list(index) if isinstance(index, tuple) else [index]  # pyright: ignore[reportUnknownArgumentType]
    taken = [axis for axis, place in enumerate(places) if isinstance(place, int) and not isinstance(place, bool)]
    whole = all(isinstance(place, int) or place == slice(None) for place in places)
    if not isinstance(x, Tensor) or len(taken) != 1 or not whole:
        return call.run()
    places[taken[0]] = (places[taken[0]] + 1) % x.shape[taken[0]]
    return call.function(x, tuple(places))
