"""Closures: what an optimizer evaluates inside its step, told of after its first run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FirstRun:
    """A closure that tells when it has run for the first time: there the weights have not moved yet."""

    def __init__(self, closure: Callable[[], Any], ran: Callable[[], None]) -> None:
        self.closure, self.ran = closure, ran
        self.first = True

    def __call__(self) -> Any:
        """Run the closure, and tell if this was the first time."""
        result = self.closure()
        if self.first:
            self.first = False
            self.ran()
        return result
