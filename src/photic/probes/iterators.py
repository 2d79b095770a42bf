"""Iterators on a model: `self.blocks = zip(convs, norms)` gives its layers to the first forward, and nothing to those that follow."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from torch import nn

_DEEP = 4  # iterators over iterators: enumerate(zip(iter(a), iter(b)))


def used_up(model: nn.Module) -> tuple[str, ...]:
    """Return the attributes of the model's modules that are iterators over modules, by their paths: `encoder.stages`.

    None is run: what Python's own iterators go through is asked of them (`__reduce__`), and of a generator what it was made from.
    """
    return tuple(
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, Iterator) and _gives_modules(value, _DEEP)
    )


def relist(model: nn.Module, names: tuple[str, ...]) -> None:
    """Put lists of what they give in the places of iterators."""
    for path, _, name in (place.rpartition(".") for place in names):
        module = model.get_submodule(path)
        setattr(module, name, list(getattr(module, name)))


def _gives_modules(value: Any, deep: int) -> bool:
    if isinstance(
        value, types.GeneratorType
    ):  # of its locals those alone that it goes through; `self` is a module, too
        frame = value.gi_frame
        held = [] if frame is None else [one for one in frame.f_locals.values() if isinstance(one, Iterator)]
        return deep > 0 and any(_gives_modules(one, deep - 1) for one in held)
    if type(value).__module__ != "builtins" or not isinstance(value, Iterator) or not deep:
        return False
    try:
        parts: Any = value.__reduce__()
    except Exception:  # it does not tell
        return False
    for part in parts[1] if isinstance(parts, tuple) and len(parts) > 1 and isinstance(parts[1], tuple) else ():
        if isinstance(part, (list, tuple)) and any(isinstance(one, nn.Module) for one in part):
            return True
        if isinstance(part, (nn.ModuleList, nn.Sequential)) or _gives_modules(part, deep - 1):
            return True
    return False
