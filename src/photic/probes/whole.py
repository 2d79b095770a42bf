"""Whole numbers that enter a model: which they are, whether they differ, and the few operations that may leave nothing of them."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call, tensors_in
from photic.probes.spread import spread_facts
from photic.records.runs import SpreadFacts
from photic.records.vocabulary import Kind

RUINS = {"floor_divide", "floordiv", "remainder", "mod", "masked_fill"}  # a quotient may be 0, a mask may leave out all
SOME = 64  # examples that are compared


class Whole:
    """The whole numbers of one batch. Most of what is done with such numbers is bookkeeping, and no signal."""

    def __init__(self) -> None:
        self._seen: dict[int, weakref.ref[Tensor]] = {}

    def enter(self, batch: Any) -> None:
        """Remember the tensors of whole numbers that enter the model."""
        for tensor in tensors_in(batch):
            counts = not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype is not torch.bool
            if counts and tensor.ndim:
                self._seen[id(tensor)] = weakref.ref(tensor)

    def differ(self) -> bool:
        """Whether two examples have other numbers."""
        held = [tensor for seen in self._seen.values() if (tensor := seen()) is not None]
        return any(bool((tensor[:SOME] != tensor[:1]).any()) for tensor in held)

    def concerns(self, operation: str, tensor: Tensor) -> bool:
        """Whether an operation may leave nothing of a tensor, and this is one of them."""
        seen = self._seen.get(id(tensor)) if operation in RUINS else None
        return seen is not None and seen() is tensor

    @staticmethod
    def spread(call: Call, output: Tensor, kind: Kind, grid: Sequence[int] = ()) -> SpreadFacts | None:
        """Return how much the examples differ in what a call gives; of whole numbers after such an operation only; `grid` as for `spread_facts`."""
        if call.phase != "model":
            return None
        if call.operation in RUINS and output.dtype in (torch.int64, torch.int32) and output.ndim:
            numbers = output.detach().reshape(len(output), -1).double()
            return spread_facts(numbers, "other")
        return spread_facts(output, kind, grid)
