"""Autograd functions of the user's that are differentiated as torch does, through what their forward computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        own, names = vars(_PARENT).get("apply"), self.names

        def apply(kind: Any, *given: Any) -> Any:
            if kind.__name__ in names:
                return _forward(kind, given)
            return super(_PARENT, kind).apply(*given) if own is None else own.__get__(None, kind)(*given)

        _PARENT.apply = classmethod(apply)
        try:
            return self.forward(*args, **kwargs)
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
