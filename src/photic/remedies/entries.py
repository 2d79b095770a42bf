"""Entries: a call that takes one entry of an axis is given the next one, or the mean of all; and one whose rows are another axis."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from photic.probes.calls import Call


def next_entry(call: Call) -> Any:
    """Return `x[:, i + 1]` where the call is `x[:, i]`, the first again after the last; another call as it is."""
    taken = _taken(call)
    if taken is None:
        return call.run()
    x, places, axis = taken
    places[axis] = (places[axis] + 1) % x.shape[axis]
    return call.function(x, tuple(places))


def last_entry(call: Call) -> Any:
    """Return `x[:, -1]` where the call is `x[:, i]`; another call as it is."""
    taken = _taken(call)
    return call.run() if taken is None else taken[0].select(taken[2], -1)


def mean_entry(call: Call) -> Any:
    """Return `x.mean(1)` where the call is `x[:, i]`; another call as it is."""
    taken = _taken(call)
    return call.run() if taken is None else taken[0].mean(taken[2])


def rows_first(call: Call) -> Any:
    """Return what the call makes of its first argument with the first two axes changed over, in the order of memory that this has."""
    x: Tensor = call.args[0]
    return call.run() if x.ndim < 2 else call.function(x.transpose(0, 1).contiguous(), *call.args[1:], **call.kwargs)


def channels_last(call: Call) -> Any:
    """Return what the call makes of its first argument with the second axis moved to the end; that alone in the place of a transposition."""
    if call.operation in ("transpose", "permute", "swapaxes", "swapdims"):
        return call.args[0].movedim(1, -1)
    return call.function(call.args[0].movedim(1, -1).contiguous(), *call.args[1:], **call.kwargs)


def channels_first(call: Call) -> Any:
    """Return the first argument with its last axis moved to the second, where that has the shape that is asked for."""
    result, moved = call.run(), call.args[0].movedim(-1, 1)
    return moved.contiguous() if moved.shape == result.shape else result


def _taken(call: Call) -> tuple[Tensor, list[Any], int] | None:
    """Return the tensor, the index and the axis of which the call takes one entry; None where it takes something else."""
    x, index = call.args[0], call.args[1] if len(call.args) > 1 else None
    places: list[Any] = list(index) if isinstance(index, tuple) else [index]  # pyright: ignore[reportUnknownArgumentType]
    taken = [axis for axis, place in enumerate(places) if isinstance(place, int) and not isinstance(place, bool)]
    whole = all(isinstance(place, int) or place == slice(None) for place in places)
    return (x, places, taken[0]) if isinstance(x, Tensor) and len(taken) == 1 and whole else None
