"""Positions: rows of a table that were taken for the examples of a batch, taken for the steps of a sequence."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from photic.probes.calls import Call, tensors_in


class Positions:
    """Two substitutes: one where the rows are taken, one where they are added; a slice of a buffer is known there."""

    def __init__(self) -> None:
        self.table: Tensor | None = None

    def take(self, call: Call) -> Any:
        """Take the rows as the code does, and keep the table."""
        tables = [tensor for tensor in tensors_in(call.args) if tensor.is_floating_point()]
        self.table = tables[0] if tables else None
        return call.run()

    def add(self, call: Call) -> Any:
        """Add the first rows of the table, one to each step, where (batch, 1, features) meets (batch, steps, features)."""
        given = [one for one in call.args[:2] if isinstance(one, Tensor) and one.ndim == 3]
        signal, rows = sorted(given, key=lambda one: -one.shape[1]) if len(given) == 2 else (None, None)
        if signal is None or rows is None or rows.shape != (len(signal), 1, signal.shape[2]) or signal.shape[1] < 2:
            return call.run()
        base = rows._base if self.table is None and rows._base is not None else rows  # what a slice is a part of
        table = (base if self.table is None else self.table).reshape(-1, rows.shape[2])
        if len(table) < signal.shape[1]:
            return call.run()
        placed = table[: signal.shape[1]].reshape(1, signal.shape[1], -1)
        return call.function(signal, placed, *call.args[2:], **call.kwargs)
