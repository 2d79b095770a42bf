"""Handed back: the gradient that an autograd function of the user's returns, place by place along the second axis."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

FEWEST = 4  # places


class HandedBack:
    """Listens at what feeds functions with a backward of their own, and at nothing else."""

    def __init__(self, tell: Callable[[int, Tensor], None]) -> None:
        self._tell = tell
        self._takers: dict[int, int] = {}  # what feeds such a function -> the function's site
        self.norms: dict[int, tuple[float, ...]] = {}  # by the function's site

    def expect(self, site: int, feeders: Collection[int], made: Tensor) -> None:
        """Take a site that no call announced: if it is such a function of a sequence [batch, time, width], it is listened to."""
        own: Any = torch.autograd.function.BackwardCFunction
        if made.ndim == 3 and made.shape[1] >= FEWEST and isinstance(made.grad_fn, own):
            self._takers |= dict.fromkeys((feeder for feeder in feeders if feeder >= 0), site)

    def hear(self, site: int, gradient: Tensor) -> None:
        """Take the gradient of a site, and hand it on."""
        taker = self._takers.get(site)
        if taker is not None and gradient.ndim == 3 and taker not in self.norms:
            self.norms[taker] = tuple(gradient.detach().double().square().sum((0, 2)).sqrt().tolist())
        self._tell(site, gradient)
