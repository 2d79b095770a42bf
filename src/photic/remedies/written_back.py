"""Written back: what is written into a copy of some rows is written into those rows themselves."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from photic.probes.calls import Call


class WrittenBack:
    """Takes rows of a value, and puts them back there after something was written into them."""

    def __init__(self) -> None:
        self._taken: list[tuple[Tensor, Any]] = []

    def take(self, call: Call) -> Any:
        """Take the rows, and remember of what and which."""
        rows, given = call.run(), [*call.args, *call.kwargs.values()]
        self._taken[:] = [(given[0], given[1])] if len(given) == 2 and isinstance(given[0], Tensor) else []
        return rows

    def write(self, call: Call) -> Any:
        """Write into the rows, and put them back."""
        value = call.run()
        for whole, index in self._taken:
            whole[index] = call.args[0]
        self._taken.clear()
        return value
