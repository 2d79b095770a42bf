"""Checkpoints: reentrant ones run as if they were none while a treated forward runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.utils.checkpoint as module


class Open:
    """A forward inside which reentrant checkpoints just call their function. Survives deepcopy and pickling of the model."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the forward."""
        reentrant: Any = module.CheckpointFunction
        module.CheckpointFunction = _Plain  # type: ignore[assignment,misc]  # looked up by name at each call
        try:
            return self.forward(*args, **kwargs)
        finally:
            module.CheckpointFunction = reentrant  # type: ignore[misc]


class _Plain:
    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        """Call the function; nothing is thrown away and computed again."""
        return function(*args)
