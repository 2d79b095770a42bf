"""Parts: what was put beside others is read from what has become of them all; results are added to the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from photic.probes.calls import Call, tensors_in


class Parts:
    """One call puts tensors side by side, another ends what is made of them, a third takes one of them: it is given that part of the end."""

    def __init__(self) -> None:
        self.places: list[tuple[Tensor, int, int]] = []
        self.axis = 0
        self.end: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy begins with: nothing of a forward that is over."""
        return {"places": [], "axis": 0, "end": None}

    def join(self, call: Call) -> Any:
        """Make the call, and keep what is put where."""
        self.places, self.end, given = [], None, tensors_in(call.args[:1] or call.kwargs.get("tensors"))
        self.axis = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else 0)
        start = 0
        for one in given:
            self.places.append((one, start, one.shape[self.axis]))
            start += one.shape[self.axis]
        return call.run()

    def finish(self, call: Call) -> Any:
        """Make the call, and keep what it gives."""
        value = call.run()
        self.end = value if isinstance(value, Tensor) else None
        return value

    def take(self, call: Call) -> Any:
        """Make the call with its part of the end."""
        kwargs = {name: self._became(value) for name, value in call.kwargs.items()}
        return replace(call, args=tuple(map(self._became, call.args)), kwargs=kwargs).run()

    def _became(self, value: Any) -> Any:
        if self.end is None:
            return value
        for one, start, length in self.places:
            if value is one:
                return self.end.narrow(self.axis, start, length)
        return value


class MovedIn:
    """An activation, and a sum of what it gives with something else, which is added to what the activation takes."""

    def __init__(self) -> None:
        self.bending: Call | None = None
        self.bent: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy begins with: nothing of a forward that is over."""
        return {"bending": None, "bent": None}

    def bend(self, call: Call) -> Any:
        """Make the call, and keep it."""
        self.bending, self.bent = call, call.run()
        return self.bent

    def add(self, call: Call) -> Any:
        """Make the activation again, on what it was given and the other summand."""
        others = [one for one in call.args if one is not self.bent]
        if self.bending is None or len(others) != 1 or len(call.args) != 2:
            return call.run()
        bending, self.bending, self.bent = self.bending, None, None
        return replace(bending, args=(bending.args[0] + others[0], *bending.args[1:])).run()


class Joined:
    """A forward to whose answers are added what calls in it have made. Survives deepcopy of the model."""

    def __init__(self, forward: Callable[..., Any], made: Sequence[list[Tensor]]) -> None:
        self.forward, self.made = forward, made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the answers with what was made added to them, where the shapes agree."""
        value = self.forward(*args, **kwargs)
        for kept in self.made:
            one, kept[:] = list(kept), []
            if isinstance(value, Tensor) and len(one) == 1 and one[0].shape == value.shape:
                value = value + one[0]
        return value
