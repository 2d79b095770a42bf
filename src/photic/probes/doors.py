"""Doors: torch.autograd's two entrances, which tell of every backward before and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from photic.probes.patched import Patched
from photic.probes.transforms import inside_transform


@dataclass(frozen=True, slots=True)
class Backward:
    """A backward that is about to run.

    Attributes:
        roots: where it begins.
        inner: its gradients are no parameter's, or enter a further graph (a physics residual, a gradient penalty): the
            backward of the step is still to come.
        frees: the graph is gone afterwards.
    """

    roots: list[Tensor]
    inner: bool
    frees: bool


class Listens(Protocol):
    """Who is told of a backward."""

    def knocked(self, asked: Callable[[], Backward]) -> None:
        """A backward is about to run; `asked` tells which."""
        ...

    def went(self, *, whole: bool) -> None:
        """It has run, or was not run to its end."""
        ...


_BACKWARD = ("tensors", "grad_tensors", "retain_graph", "create_graph", "grad_variables", "inputs")
_GRAD = ("outputs", "inputs", "grad_outputs", "retain_graph", "create_graph")


def _tensors(given: Any) -> list[Tensor]:
    several: Sequence[Any] = given if isinstance(given, Sequence) else (given,)  # an iterator would be used up
    return [each for each in several if isinstance(each, Tensor)]  # the others are edges of the graph


def _asked(names: Sequence[str], args: Sequence[Any], kwargs: Any) -> Backward:
    given = {**dict(zip(names, args)), **kwargs}
    graph, inputs = bool(given.get("create_graph")), _tensors(given.get("inputs"))
    retain = given.get("retain_graph")
    return Backward(
        roots=[root for root in _tensors(given.get(names[0])) if root.grad_fn is not None],
        inner=(graph and names is _GRAD) or bool(inputs and not any(isinstance(t, torch.nn.Parameter) for t in inputs)),
        frees=not (graph if retain is None else retain),
    )


def _told(names: Sequence[str], original: Callable[..., Any], listeners: list[Listens]) -> Callable[..., Any]:
    def door(*args: Any, **kwargs: Any) -> Any:
        if inside_transform():  # `torch.func.grad` goes back through wrappers
            return original(*args, **kwargs)
        for listener in list(listeners):
            listener.knocked(partial(_asked, names, args, kwargs))
        whole = False
        try:
            result = original(*args, **kwargs)
            whole = True
        finally:
            for listener in list(listeners):
                listener.went(whole=whole)
        return result

    return door


DOORS: tuple[Patched[Listens], ...] = (
    Patched(torch.autograd, "backward", partial(_told, _BACKWARD)),
    Patched(torch.autograd, "grad", partial(_told, _GRAD)),
)
