"""Goals: a code that is compared with another, and does not move towards it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from photic.probes.calls import Call


class Goal:
    """Remembers what a site made, and hands it to a comparison without its gradient; `inner` is called in the site's place."""

    def __init__(self, inner: Callable[[Call], Any] | None) -> None:
        self.inner = inner
        self.made: list[Tensor] = []

    def __call__(self, call: Call) -> Any:
        """Call the site."""
        value = call.run() if self.inner is None else self.inner(call)
        self.made[:] = [value] if isinstance(value, Tensor) else []
        return value

    def compared(self, call: Call) -> Any:
        """Call the comparison; the goal is cut from the graph."""
        goal, self.made[:] = list(self.made), []
        args = [one.detach() if goal and one is goal[0] else one for one in call.args]
        kwargs = {name: one.detach() if goal and one is goal[0] else one for name, one in call.kwargs.items()}
        return call.function(*args, **kwargs)
