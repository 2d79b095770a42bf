"""Given: the models and optimizers that a user hands over, one or several, as lists."""

from __future__ import annotations

from typing import Any

from torch import nn


def listed(given: Any, kind: type) -> list[Any]:
    """Return one thing of a kind, several, or None, as a list."""
    return [] if given is None else [given] if isinstance(given, kind) else list(given)


def models(given: Any) -> list[nn.Module]:
    """Return the models that were given.

    Raises:
        TypeError, ValueError: if something else was, or nothing.
    """
    roots = listed(given, nn.Module)
    for root in roots:
        if not isinstance(root, nn.Module):
            raise TypeError(f"expected torch.nn.Modules to watch, got {type(root).__name__}")
    if not roots:
        raise ValueError("expected at least one model to watch, got none")
    return roots
