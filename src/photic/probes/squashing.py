"""Squashing: whether the gradient pulls a network's outputs back from where their squashing is flat."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_SQUASHING = ("softmax", "sigmoid", "tanh")


class Squashing:
    """Keeps the outputs of the model, and what entered the last squashing before them, until their gradient comes.

    The sign of <signal, gradient> tells whether a step makes a logit smaller (it was sure and wrong) or larger (it was
    right): what a small gradient alone cannot tell.
    """

    def __init__(self, hear: Callable[[int, Tensor], None] | None) -> None:
        self._tell = hear
        self._last: tuple[int, Tensor] | None = None
        self._kept: dict[int, Tensor] = {}
        self.alignments: dict[int, float] = {}

    def meet(self, operation: str, source: int, entering: Tensor) -> None:
        """Remember what enters the latest squashing; only one is held."""
        if operation in _SQUASHING and source >= 0:
            self._last = source, entering.detach()

    def keep(self, site: int, output: Tensor) -> None:
        """Hold an output of the model until its gradient comes."""
        self._kept[site] = output.detach()
        if self._last is not None:
            self._kept.setdefault(*self._last)

    def forget(self, sites: set[int]) -> None:
        """Hold nothing of these sites any more."""
        self._kept = {site: kept for site, kept in self._kept.items() if site not in sites}
        if self._last is not None and self._last[0] in sites:
            self._last = None

    def hear(self, site: int, gradient: Tensor) -> None:
        """Take the gradient of a site."""
        signal = self._kept.pop(site, None)
        if signal is not None and signal.shape == gradient.shape and signal.is_floating_point():
            cosine = _cosine(signal, gradient.detach())
            if cosine is not None:
                self.alignments[site] = cosine
        if self._tell is not None:
            self._tell(site, gradient)


def _cosine(first: Tensor, second: Tensor) -> float | None:
    x, y = first.to(torch.float64).flatten(), second.to(torch.float64).flatten()
    largest, other = float(x.abs().max()), float(y.abs().max())
    if largest * other == 0.0 or not largest * other < float("inf"):
        return None
    x, y = x / largest, y / other
    return float(x @ y / (torch.linalg.vector_norm(x) * torch.linalg.vector_norm(y)))
