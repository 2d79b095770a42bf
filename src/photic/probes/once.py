"""Once: a call of the user's, made once, whatever happens to ours around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Once:
    """A function that ran at most once and keeps its result: a fault of ours does not run the user's call again.

    Attributes:
        done: it has run.
        failed: it has raised; that error is the user's.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", "")
        self.done = False
        self.failed = False
        self.result: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it, and keep what it returns."""
        try:
            self.result = self.function(*args, **kwargs)
        except BaseException:
            self.failed = True
            raise
        self.done = True
        return self.result
