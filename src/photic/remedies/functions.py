"""Autograd functions of the user's, called in another way: differentiated as torch does, or with a number above 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

# The class whose `apply` every function's ends in, also one that was kept under a name.
_PARENT: Any = torch.autograd.Function.__mro__[1]


class Differentiated:
    """A forward inside which the named autograd functions run their own forward and no backward of theirs.

    Survives deepcopy and pickling of the model.
    """

    def __init__(self, forward: Callable[..., Any], names: Sequence[str]) -> None:
        self.forward, self.names = forward, tuple(names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the forward."""
        names = self.names
        with _applied(lambda kind, given, apply: _forward(kind, given) if kind.__name__ in names else apply(*given)):
            return self.forward(*args, **kwargs)


class Floored:
    """A forward inside which the named autograd functions are given a small number where they are given a plain 0."""

    def __init__(self, forward: Callable[..., Any], floors: Mapping[str, float]) -> None:
        self.forward, self.floors = forward, dict(floors)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the forward."""
        floors = self.floors

        def floored(kind: Any, given: Sequence[Any], apply: Callable[..., Any]) -> Any:
            least = floors.get(kind.__name__)
            return apply(*(least if least and type(one) is float and one == 0.0 else one for one in given))

        with _applied(floored):
            return self.forward(*args, **kwargs)


@contextmanager
def _applied(instead: Callable[[Any, Sequence[Any], Callable[..., Any]], Any]) -> Iterator[None]:
    """Call `instead(kind, given, apply)` in place of every function's `apply`."""
    own = vars(_PARENT).get("apply")

    def apply(kind: Any, *given: Any) -> Any:
        return instead(kind, given, super(_PARENT, kind).apply if own is None else own.__get__(None, kind))

    _PARENT.apply = classmethod(apply)
    try:
        yield
    finally:
        if own is None:
            del _PARENT.apply
        else:
            _PARENT.apply = own


class _Context:
    """Takes what a forward keeps for a backward that is not called."""

    needs_input_grad: tuple[bool, ...] = ()
    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep the tensors."""
        self.saved_tensors = tensors

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


def _forward(kind: Any, given: Sequence[Any]) -> Any:
    context = _Context()
    context.needs_input_grad = tuple(isinstance(one, torch.Tensor) and one.requires_grad for one in given)
    apart = kind.setup_context is not _PARENT.setup_context  # then the forward takes no context
    return kind.forward(*given) if apart else kind.forward(context, *given)
