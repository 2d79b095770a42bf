"""Rows: batches cut along their first axis, put together, and dealt anew."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from photic.checkups.setup import Batches
from photic.probes.calls import tensors_in

FEWEST = 4
_AT_ONCE = 2**30  # bytes of the user's batches that are held to be dealt anew


def pieces(batch: Any, count: int) -> list[Any]:
    """Return the batch in `count` pieces along the first axis, of at least 4 examples each; whole where that has no one length."""
    tensors = tensors_in(batch)
    lengths = {tensor.shape[0] if tensor.ndim else 0 for tensor in tensors}
    length = lengths.pop() if len(lengths) == 1 else 0
    count = min(count, length // FEWEST)
    if count < 2:
        return [batch]
    edges = [length * index // count for index in range(count + 1)]
    return [rows(batch, slice(start, end)) for start, end in itertools.pairwise(edges)]


def rows(value: Any, which: slice | Tensor) -> Any:
    """Return those rows of every tensor in a batch."""
    if isinstance(value, Tensor):
        return value[which]
    if isinstance(value, (list, tuple)):
        return type(value)(rows(item, which) for item in value)  # pyright: ignore
    if isinstance(value, dict):
        return {key: rows(item, which) for key, item in value.items()}  # pyright: ignore
    return value


def joined(batches: Sequence[Any]) -> Any | None:
    """Return batches as one, along the first axis; None where they are not of one make, or hold tensors of unequal lengths."""
    lengths = {len({tensor.shape[0] if tensor.ndim else -1 for tensor in tensors_in(batch)}) for batch in batches}
    try:
        return _joined(batches) if lengths == {1} else None
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError):
        return None


def dealt(batches: Sequence[Any], seed: int = 0) -> tuple[Any, ...] | None:
    """Return the examples of all batches in a random order, in batches of the same sizes; None where they cannot be joined."""
    whole = joined(batches)
    if whole is None:
        return None
    sizes = [tensors_in(batch)[0].shape[0] for batch in batches]
    order = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed))
    return tuple(rows(whole, places) for places in order.split(sizes))


class Dealt:
    """The user's batches with their examples dealt anew, each time in another order, as a loader does that shuffles."""

    def __init__(self, batches: Batches, most: int = _AT_ONCE) -> None:
        self._batches, self._most, self._times = batches, most, 0

    def __call__(self) -> Iterator[Any]:
        """Yield them, about a gigabyte at a time; as they come where they are of no one make."""
        for taken in self._parts():
            self._times += 1
            yield from dealt(taken, self._times) or taken

    def _parts(self) -> Iterator[list[Any]]:
        """Yield lists of batches of so many bytes, or a little more."""
        taken: list[Any] = []
        held = 0
        for batch in self._batches():
            taken.append(batch)
            held += sum(tensor.nbytes for tensor in tensors_in(batch))
            if held >= self._most:
                yield taken
                taken, held = [], 0
        if taken:
            yield taken


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, (list, tuple)):
        return type(first)(_joined(parts) for parts in zip(*values, strict=True))  # pyright: ignore
    if isinstance(first, dict):
        return {key: _joined([value[key] for value in values]) for key in first}  # pyright: ignore
    if not isinstance(first, (str, int, float, type(None))) or any(value != first for value in values):
        raise TypeError("what is no tensor cannot be dealt with its example")
    return first
