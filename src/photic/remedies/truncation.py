"""Recurrent modules whose state is another: cut from the gradient every so many steps, or torch's own at rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Truncated:
    """A recurrent module's forward whose state is cut from the gradient every `steps` steps; its values are the same.

    What is packed, or runs in both directions, is left as it is.
    """

    def __init__(self, module: nn.RNNBase, forward: Callable[..., Any], steps: int) -> None:
        self.module, self.forward, self.steps = module, forward, steps

    def __call__(self, x: Any, state: Any = None) -> Any:
        """Return output and last state."""
        if not isinstance(x, Tensor) or self.module.bidirectional:
            return self.forward(x, state)
        axis = 1 if self.module.batch_first and x.ndim == 3 else 0
        outputs: list[Tensor] = []
        for piece in x.split(self.steps, dim=axis):
            state = _cut(state) if outputs else state
            output, state = self.forward(piece, state)
            outputs.append(output)
        return torch.cat(outputs, dim=axis), state


class FromRest:
    """A recurrent module's forward that starts at rest where the state that it is given is all 0.

    A state that the user's code makes of zeros has the size of the other axis, which is no longer that of the batch.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, x: Any, state: Any = None) -> Any:
        """Return output and last state."""
        parts = (state,) if isinstance(state, Tensor) else state or ()
        at_rest = not any(
            part.requires_grad or bool(part.any()) for part in parts
        )  # one that is trained may start at 0
        return self.forward(x, None if at_rest else state)


def _cut(state: Any) -> Any:
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)
