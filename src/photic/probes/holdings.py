"""Holdings: lists, dicts, sets and random generators that modules keep as attributes, remembered and put back."""

from __future__ import annotations

import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import nn

Restore = Callable[[], None]
_CONTAINERS = {list, dict, set, deque, defaultdict, OrderedDict, Counter}
_TORCHS = frozenset(vars(nn.Module()))  # its registries are no attributes of the user's
_DEEPEST, _LONGEST = 6, 10_000


def attributes(modules: Iterable[nn.Module]) -> list[Any]:
    """Return what the modules hold as plain attributes, private ones too."""
    return [value for module in modules for name, value in vars(module).items() if name not in _TORCHS]


def generators(values: Iterable[Any]) -> list[Restore]:
    """Remember the state of every random generator among the values and inside their containers."""
    return [restore for value in _walked(values) if (restore := _generator(value)) is not None]


def contents(values: Iterable[Any]) -> list[Restore]:
    """Remember what lies in every container among the values, and in those inside of them."""
    return [_container(value) for value in _walked(values) if type(value) in _CONTAINERS]


def _walked(values: Iterable[Any]) -> Iterator[Any]:
    seen: set[int] = set()
    waiting: list[tuple[Any, int]] = [(value, 0) for value in values]
    while waiting:
        value, depth = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        holds = type(value) in _CONTAINERS or type(value) is tuple
        if holds and len(value) >= _LONGEST:
            continue
        yield value
        if holds and depth < _DEEPEST:
            waiting += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]  # pyright: ignore


def _container(value: Any) -> Restore:
    before = value.copy()

    def restore() -> None:
        value.clear()
        (value.extend if isinstance(value, (list, deque)) else value.update)(before)

    return restore


def _generator(value: Any) -> Restore | None:
    numpy = cast(Any, sys.modules.get("numpy"))
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: cast(None, value.set_state(state))
    if isinstance(value, random.Random):
        drawn = value.getstate()
        return lambda: value.setstate(drawn)
    if numpy is not None and isinstance(value, numpy.random.RandomState):
        old = value.get_state()
        return lambda: value.set_state(old)
    if numpy is not None and isinstance(value, numpy.random.Generator):
        bits, known = value.bit_generator, value.bit_generator.state
        return lambda: setattr(bits, "state", known)
    return None
