"""Truncated back-propagation through time: a recurrent module runs in pieces, and the state between them carries no gradient."""

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


def _cut(state: Any) -> Any:
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)
