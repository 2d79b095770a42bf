"""Chosen: numbers brought into the range of the bins, and entries of a table drawn from what chooses among them, at the first call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call


class Ranged:
    """Brings the numbers that are binned, or cut to whole ones, into the range of the edges, or of so many rows.

    Range and place are those of the first batch.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.low, self.size = 0.0, 0.0

    def __call__(self, call: Call) -> Any:
        """Make the call on numbers of that range."""
        given: list[Any] = list(call.args)
        first, second = (1, 0) if call.operation == "searchsorted" else (0, 1)
        numbers: Tensor = given[first]
        if not self.size:
            self.low, self.size = float(numbers.min()), float(numbers.max() - numbers.min()) or 1.0
        share = (numbers - self.low) / self.size
        edges = given[second] if len(given) > second and isinstance(given[second], Tensor) else None
        if edges is not None and len(edges) > 1:
            step = (edges[-1] - edges[0]) / (len(edges) - 1)
            given[first] = edges[0] - step + share * (edges[-1] - edges[0] + 2.0 * step)
        else:
            given[first] = share.clamp(0.0, 1.0) * (self.rows - 1e-3)
        return replace(call, args=tuple(given)).run()


class DrawnFrom:
    """Draws the entries of a table from what is compared with them, at the first call, and again where they were put back."""

    def __init__(self) -> None:
        self.as_made: Tensor | None = None

    def __call__(self, call: Call) -> Any:
        """Compare with the entries."""
        codes, entries = call.args[0], call.args[1]
        if self.as_made is None and codes.ndim == entries.ndim == 2:
            self.as_made = entries.detach().clone()
        if self.as_made is not None and torch.equal(entries, self.as_made):
            with torch.no_grad():
                entries.copy_(codes[torch.arange(len(entries), device=codes.device) * len(codes) // len(entries)])
        return call.run()
