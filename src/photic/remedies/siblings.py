"""Siblings: calls that use another layer's weights, tables that give a row to each place, dicts of modules that know numbers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from photic.probes.calls import Call


class Sibling:
    """A call with the parameters of a layer beside the one that it was given."""

    def __init__(self, model: nn.Module, used: str, own: str) -> None:
        self.model, self.used, self.own = model, used, own

    def __call__(self, call: Call) -> Any:
        """Make the call with the sibling's parameters and buffers."""
        used, own = (self.model.get_submodule(name) for name in (self.used, self.own))
        others = {**dict(own.named_parameters()), **dict(own.named_buffers())}
        instead = {id(t): others[n] for n, t in (*used.named_parameters(), *used.named_buffers()) if n in others}
        args, kwargs = tree_map(lambda value: instead.get(id(value), value), (tuple(call.args), dict(call.kwargs)))
        return call.function(*args, **kwargs)


class EveryRow:
    """A table of which one row is read, and a sum that takes it: there each place gets the row of its own."""

    def __init__(self) -> None:
        self.table: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy begins with: nothing of a forward that is over."""
        return {"table": None}

    def read(self, call: Call) -> Any:
        """Make the call, and keep the table."""
        self.table = next(one for one in call.args if isinstance(one, Tensor) and one.is_floating_point())
        return call.run()

    def add(self, call: Call) -> Any:
        """Return the sum of the other argument, [..., places, width], and the first rows of the table."""
        table, self.table = self.table, None
        others = sorted((one for one in call.args if isinstance(one, Tensor)), key=Tensor.numel)
        if table is None or len(others) != 2 or others[1].ndim < 2 or not 1 < others[1].shape[-2] <= len(table):
            return call.run()
        return others[1] + table[: others[1].shape[-2]]


class _Worded(nn.ModuleDict):
    """A dict of modules that finds them by what their keys say."""

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(str(key))

    def __getitem__(self, key: Any) -> nn.Module:
        return super().__getitem__(str(key))


def word_keys(model: nn.Module, names: tuple[str, ...]) -> None:
    """Let the dicts of modules find them by numbers too.

    Raises:
        ValueError: if a name is that of no `ModuleDict`.
    """
    for name in names:
        module = model.get_submodule(name)
        if type(module) is not nn.ModuleDict:
            raise ValueError(f"{name} is a {type(module).__name__}, whose layers are not looked up by words")
        module.__class__ = _Worded
