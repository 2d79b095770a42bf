"""Iterators on a model: `self.blocks = zip(convs, norms)` gives its layers to the first forward, and nothing to those that follow."""

from __future__ import annotations

import copy
import itertools
import types
from collections.abc import Iterator
from typing import Any

from torch import nn

_ENDLESS = (itertools.count, itertools.cycle, itertools.repeat)


def used_up(model: nn.Module) -> tuple[str, ...]:
    """Return the attributes of the model's modules that are iterators over modules, by their paths: `encoder.stages`."""
    memo: dict[int, Any] = {id(module): module for module in model.modules()}
    return tuple(
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, Iterator) and not isinstance(value, _ENDLESS) and _gives_modules(value, memo)
    )


def relist(model: nn.Module, names: tuple[str, ...]) -> None:
    """Put lists of what they give in the places of iterators."""
    for path, _, name in (place.rpartition(".") for place in names):
        module = model.get_submodule(path)
        setattr(module, name, list(getattr(module, name)))


def _gives_modules(iterator: Iterator[Any], memo: dict[int, Any]) -> bool:
    if isinstance(iterator, types.GeneratorType):  # it cannot be copied, and is not to be run
        frame = iterator.gi_frame
        held = [] if frame is None else list(frame.f_locals.values())
        return any(
            isinstance(one, nn.Module) or (isinstance(one, Iterator) and _gives_modules(one, memo)) for one in held
        )
    try:
        given = list(copy.deepcopy(iterator, dict(memo)))
    except Exception:  # what cannot be copied is not looked into
        return False
    return any(isinstance(one, nn.Module) for item in given for one in (item if isinstance(item, tuple) else (item,)))
