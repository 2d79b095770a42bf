"""Passes: the forward passes of a step, from the entrances through which they begin."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_FEW = 8  # passes of a step of which nobody asks whether they are still needed


class Passes:
    """Follows which entrances are running.

    Attributes:
        inside: the entrances that were called and have not returned, the outermost first.
        begun: how many passes began, one inside of another not counted.
    """

    def __init__(self) -> None:
        self.inside: list[nn.Module] = []
        self.begun = 0

    def enter(self, root: nn.Module) -> None:
        """An entrance is called."""
        self.inside.append(root)

    def leave(self, root: nn.Module) -> bool:
        """It returned; True if it is the outermost one."""
        within = [place for place, module in enumerate(self.inside) if module is root]
        if within:
            del self.inside[within[-1] :]
        return bool(within) and not self.inside

    def prune(self, running: Sequence[nn.Module]) -> bool:
        """Forget entrances that an exception has left: they are not `running`. True if the outermost is among them."""
        within = bool(self.inside)
        while self.inside and not any(self.inside[-1] is module for module in running):
            self.inside.pop()
        return within and not self.inside

    def many(self) -> bool:
        """Count a pass, and tell whether it is time to ask which are still needed: after 8, 16, 32 ... of them."""
        self.begun += 1
        return self.begun >= _FEW and self.begun & (self.begun - 1) == 0
