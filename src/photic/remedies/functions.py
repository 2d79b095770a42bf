"""Autograd functions of the user's in a treated model: differentiated as torch does, or with a number above 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from photic.probes.own_functions import applied, plainly


class Differentiated:
    """A forward inside which the named autograd functions run their own forward and no backward of theirs.

    Survives deepcopy and pickling of the model.
    """

    def __init__(self, forward: Callable[..., Any], names: Sequence[str]) -> None:
        self.forward, self.names = forward, tuple(names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the forward."""
        names = self.names
        with applied(lambda kind, given, apply: plainly(kind, given) if kind.__name__ in names else apply(*given)):
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

        with applied(floored):
            return self.forward(*args, **kwargs)
