"""Given: the models and optimizers that a user hands over, one or several, as lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

_OTHER = (
    "; of a wrapper give the optimizer inside, and of an engine that steps on copies of its own (DeepSpeed, Megatron) "
    "nothing can be read: use DDP or FSDP2"
)


def models(given: Any) -> list[nn.Module]:
    """Return the models that were given.

    Raises:
        TypeError, ValueError: if something else was, or nothing.
    """
    roots = _listed(given, nn.Module, "torch.nn.Modules to watch")
    if not roots:
        raise ValueError("expected at least one model to watch, got none")
    return roots


def optimizers(given: Any) -> list[torch.optim.Optimizer]:
    """Return the optimizers that were given: one, several or none.

    Raises:
        TypeError: if something else was.
    """
    return _listed(given, torch.optim.Optimizer, "a torch.optim.Optimizer, several of them or None", _OTHER)


def _listed(given: Any, kind: type, wanted: str, advice: str = "") -> list[Any]:
    """Return one thing of a kind, several, or None, as a list; refuse anything else."""
    one = given is not None and (isinstance(given, kind) or not isinstance(given, Iterable))
    found: list[Any] = [] if given is None else [given] if one else list(given)
    for thing in found:
        if not isinstance(thing, kind):
            raise TypeError(f"expected {wanted}, got {type(thing).__name__}{advice}")
    return found
