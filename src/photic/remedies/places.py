"""Places: what is computed from an argmax becomes its mean under the softmax of the scores (soft-argmax)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call


class Places:
    """One call chooses places among scores, others compute with these whole numbers, the last ones make numbers of them.

    Every call is made for the place that was chosen and for each place that could have been, so that the numbers at the end
    are known for all of them.
    """

    def __init__(self) -> None:
        self.scores: Tensor | None = None
        self.all: dict[int, tuple[Tensor, Tensor]] = {}  # by id: what was computed, and the same for every place

    def choose(self, call: Call) -> Any:
        """Choose among scores [examples, places]."""
        scores, chosen = call.args[0], call.run()
        self.all.clear()
        self.scores = None
        if scores.ndim == 2 and isinstance(chosen, Tensor) and chosen.numel() == len(scores):
            self.scores = scores
            every = torch.arange(scores.shape[1], device=scores.device)
            self._keep(chosen, every if chosen.ndim == 1 else every[:, None])
        return chosen

    def compute(self, call: Call) -> Any:
        """Compute with the chosen places, and with every other."""
        result = call.run()
        if isinstance(result, Tensor) and (every := self._every(call)) is not None:
            self._keep(result, every)
        return result

    def end(self, call: Call) -> Any:
        """Return the mean of the numbers under the softmax of the scores."""
        result = call.run()
        every = self._every(call)
        if self.scores is None or every is None or every.shape[1:] != result.shape[1:]:
            return result
        soft = self.scores.softmax(1) @ every.flatten(1).to(self.scores.dtype)
        return soft.reshape(result.shape).to(result.dtype)

    def _every(self, call: Call) -> Tensor | None:
        """Make the call for every place; None where it takes no chosen place."""
        known = [entry for entry in self.all.values() if _holds((call.args, call.kwargs), entry[0])]
        if not known or self.scores is None:
            return None
        args = _replaced(call.args, self.all)
        kwargs = {name: _replaced(value, self.all) for name, value in call.kwargs.items()}
        with torch.no_grad():
            every: Any = call.function(*args, **kwargs)
        return every if isinstance(every, Tensor) and len(every) == self.scores.shape[1] else None

    def _keep(self, chosen: Tensor, every: Tensor) -> None:
        self.all[id(chosen)] = (chosen, every)


def _holds(value: Any, tensor: Tensor) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(item, tensor) for item in value.values())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(_holds(item, tensor) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return value is tensor


def _replaced(value: Any, known: Mapping[int, tuple[Tensor, Tensor]]) -> Any:
    """Return the arguments with every place in the place of the chosen ones."""
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(item, known) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return known[id(value)][1] if id(value) in known else value
