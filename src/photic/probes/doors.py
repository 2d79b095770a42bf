"""Doors: torch.autograd's two entrances, which tell of every backward before and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from photic.probes.patched import Patched
from photic.probes.transforms import inside_transform


class Listens(Protocol):
    """Who is told of a backward."""

    def knocked(self, roots: list[Tensor]) -> None:
        """A backward is about to run from `roots`."""
        ...

    def went(self) -> None:
        """It has run."""
        ...


def _told(original: Callable[..., Any], listeners: list[Listens]) -> Callable[..., Any]:
    def door(*args: Any, **kwargs: Any) -> Any:
        if inside_transform():  # `torch.func.grad` goes back through wrappers
            return original(*args, **kwargs)
        given = args[0] if args else kwargs.get("tensors", kwargs.get("outputs"))
        several: Sequence[Any] = given if isinstance(given, Sequence) else (given,)  # an iterator would be used up
        roots = [root for root in several if isinstance(root, Tensor)]  # the others are edges of the graph
        for listener in list(listeners):
            listener.knocked([root for root in roots if root.grad_fn is not None])
        result = original(*args, **kwargs)
        for listener in list(listeners):
            listener.went()
        return result

    return door


DOORS: tuple[Patched[Listens], ...] = tuple(Patched(torch.autograd, name, _told) for name in ("backward", "grad"))
