"""Copies: a deep copy in which functions that were put on a module mean the copy, and weights keep the hooks on their gradient."""

from __future__ import annotations

import copy
import types
from typing import Any

from torch import Tensor, nn


def deep_copy(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """Copy as `copy.deepcopy` does, and give functions that lie on modules, or among their hooks, the copies of what they close over.

    `layer.weights = lambda: layer.weight.round()` is shared by `copy.deepcopy`: the copy would compute with the original's weights.
    Hooks on the gradient of a weight (`weight.register_hook`, a mask for one) are lost there, and the copy would be trained otherwise. Those that
    run after it was accumulated are left out, as torch does: they step optimizers. Of frozen weights nothing comes back, so theirs are left out too.
    """
    memo = {} if memo is None else memo
    made = copy.deepcopy(value, memo)
    for copied in [each for each in memo.values() if isinstance(each, nn.Module)]:
        for name, held in vars(copied).items():
            if isinstance(held, types.FunctionType):
                vars(copied)[name] = rebound(held, memo)
            elif isinstance(held, dict) and name.endswith("_hooks"):
                hooks: dict[Any, Any] = held
                hooks.update({key: rebound(hook, memo) for key, hook in hooks.items()})
    for original in [each for each in memo.get(id(memo), ()) if isinstance(each, Tensor) and each.requires_grad]:
        for hook in list((original._backward_hooks or {}).values()):
            memo[id(original)].register_hook(rebound(_hook(hook, memo), memo))
    return made


def _hook(hook: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(hook, memo)
    except Exception:  # it holds what cannot be copied: it is shared
        return hook


def rebound(value: Any, memo: dict[int, Any], _within: tuple[Any, ...] = ()) -> Any:
    """Return a function that closes over the copies of what it closes over, where there are such; anything else as it is."""
    if not isinstance(value, types.FunctionType) or value.__closure__ is None or value in _within:
        return value
    cells = [_content(cell) for cell in value.__closure__]
    now = [memo[id(held)] if id(held) in memo else rebound(held, memo, (*_within, value)) for held in cells]
    if all(new is old for new, old in zip(now, cells, strict=True)):
        return value
    closure = tuple(
        cell if new is old else types.CellType(new)
        for cell, new, old in zip(value.__closure__, now, cells, strict=True)
    )
    made = types.FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, closure)
    made.__kwdefaults__, made.__qualname__ = value.__kwdefaults__, value.__qualname__
    made.__dict__.update(value.__dict__)
    return made


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that is not bound yet
        return None
