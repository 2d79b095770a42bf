"""Siblings: calls that use another layer's weights, tables that give a row to each place, dicts of modules that know numbers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from photic.probes.calls import Call


class Sibling:
    """A call with the parameters of a layer beside the one that it was given."""

    def __init__(self, model: nn.Module, used: str, own: str) -> None:
        self.model, self.used, self.own = model, used, own

    def __call__(self, call: Call) -> Any:
        """Make the call with the sibling's."""
        kwargs = {name: self._other(value) for name, value in call.kwargs.items()}
        return call.function(*map(self._other, call.args), **kwargs)

    def _other(self, value: Any) -> Any:
        if not isinstance(value, nn.Parameter):
            return value
        others = dict(self.model.get_submodule(self.own).named_parameters())
        for name, parameter in self.model.get_submodule(self.used).named_parameters():
            if parameter is value:
                return others[name]
        return value


class EveryRow:
    """The first rows of a table, in place of one."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __call__(self, call: Call) -> Any:
        """Return the rows, in the shape of the one with an axis for the places."""
        given, table = (call.args[1], call.args[0]) if _is_table(call.args[0]) else (call.args[0], call.args[1])
        places = torch.arange(self.rows, device=given.device).reshape(*given.shape[:-1], self.rows)
        return F.embedding(places, table)


def _is_table(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


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
