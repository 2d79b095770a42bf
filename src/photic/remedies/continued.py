"""Continued: what a stretch of calls makes of a value goes on in the value's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from photic.probes.calls import Call


def continued(stretches: Sequence[tuple[str, str]], takers: Sequence[str]) -> dict[str, _Step]:
    """Return what is called at the first and last site of each stretch, and at the sites that take the value afterwards."""
    stream = _Stream()
    starts, ends = [start for start, _ in stretches], {end for _, end in stretches}
    return {
        name: _Step(stream, begins=name == starts[0], ends=name in ends)
        for name in dict.fromkeys([*starts, *ends, *takers])
    }


@dataclass
class _Stream:
    """The value that stretches are made of, and what has become of it; both are new at every forward."""

    taken: list[Tensor] = field(default_factory=list[Tensor])
    made: list[Tensor] = field(default_factory=list[Tensor])


class _Step:
    """Calls a site on what the value has become."""

    def __init__(self, stream: _Stream, *, begins: bool, ends: bool) -> None:
        self.stream, self.begins, self.ends = stream, begins, ends

    def __call__(self, call: Call) -> Any:
        """Call the site."""
        if self.begins:
            given = [*call.args, *call.kwargs.values()]
            self.stream.taken[:] = [x for x in given if isinstance(x, Tensor) and not isinstance(x, nn.Parameter)][:1]
            self.stream.made[:] = self.stream.taken
        kwargs = {name: self._became(value) for name, value in call.kwargs.items()}
        value = replace(call, args=tuple(map(self._became, call.args)), kwargs=kwargs).run()
        same = bool(self.stream.made) and isinstance(value, Tensor) and value.shape == self.stream.made[0].shape
        if self.ends and same:
            self.stream.made[:] = [value]
        return value

    def _became(self, value: Any) -> Any:
        taken = bool(self.stream.taken) and value is self.stream.taken[0]
        return self.stream.made[0] if taken else value
