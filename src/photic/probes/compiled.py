"""Compiled: when a compiled region is entered and left, and what of a model runs in one."""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from torch import nn

from photic.probes.patched import Patched

_FRAMES = 12  # between a module's call and the compiled region


def is_compiled(module: nn.Module) -> bool:
    """Whether calling the module enters a compiled region: `torch.compile(module)`, or `module.compile()` before."""
    return original(module) is not module or getattr(module, "_compiled_call_impl", None) is not None


def original(module: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`'s wrapper; any other as it is."""
    inner = module._modules.get("_orig_mod") if type(module).__name__ == "OptimizedModule" else None
    return module if inner is None else inner


class Regions:
    """Tells when the training enters and leaves a compiled region. Nothing of ours may be up inside.

    The training's thread is the one in which `open` is called again; until then it may be any: a handle that is made in
    one thread may watch a training in another.

    A hook or a function mode that dynamo meets becomes a guard of the graph: without it the graph would be compiled again.
    Every way into a region passes one function of dynamo's; where a torch has none, only known wrappers are told apart.
    """

    def __init__(self, entered: Callable[[], None], left: Callable[[], None]) -> None:
        self._tell_entered, self._tell_left = entered, left
        self._thread: int | None = None
        self._opened = False
        self._inner = 0  # the thread that is inside
        self.seen = False
        self._inside: list[int] = []  # the calls that opened a region, by their frames

    def open(self) -> None:
        """Begin to listen."""
        self._thread = get_ident() if self._opened else None
        self._opened = True
        self.seen = False
        self._inside.clear()
        frames = _frames()
        if frames is not None:
            frames.listen(self)

    def close(self) -> None:
        """Listen no more."""
        if _made:
            _made[0].leave(self)

    def crossed(self, frame: int, *, compiles: bool) -> None:
        """A call of dynamo's sets what comes next: the first time on its way in, the second time on its way out."""
        here = get_ident()
        if here != self._inner if self._inside else self._thread not in (None, here):
            return
        if frame in self._inside:
            del self._inside[self._inside.index(frame) :]
            if not self._inside:
                self._tell_left()
        elif compiles:
            self._inner = here
            self._inside.append(frame)
            self.seen = True
            if len(self._inside) == 1:
                self._tell_entered()


_made: list[Patched[Regions]] = []


def _frames() -> Patched[Regions] | None:
    """Return dynamo's entrance; optimizers import dynamo anyway."""
    if not _made:
        try:
            _made.append(Patched(importlib.import_module("torch._dynamo.eval_frame"), "_maybe_set_eval_frame", _told))
        except ImportError:
            return None
    return _made[0]


def _told(original: Callable[..., Any], listeners: list[Regions]) -> Callable[..., Any]:
    def maybe_set_eval_frame(callback: Any) -> Any:
        caller = sys._getframe(1)
        if type(caller.f_locals.get("self")).__name__ == "DisableContext":  # inside a region too, and no way out of it
            return original(callback)
        for listener in list(listeners):
            listener.crossed(id(caller), compiles=callback is not None)
        return original(callback)

    return maybe_set_eval_frame


@contextmanager
def unwarned() -> Iterator[None]:
    """Inside, torch does not warn that `torch.compile`'s wrapper meets global hooks: ours expect it."""
    item = ("ignore", re.compile(r"Using `torch.compile\(module\)` when there are global hooks"), UserWarning, None, 0)
    warnings.filters.insert(0, item)  # type: ignore[attr-defined]  # pyright: ignore
    try:
        yield
    finally:
        if item in warnings.filters:
            warnings.filters.remove(item)  # type: ignore[attr-defined]  # pyright: ignore


def entering_module(known: Collection[int] | None = None) -> nn.Module | None:
    """Return the module through which the region is entered, if it is one of `known` (by id) or the wrapper of one.

    Ask when `Regions` tells that a region is entered: the module's call lies a few frames above.
    """
    frame: Any = sys._getframe(1)
    for _ in range(_FRAMES):
        frame = None if frame is None else frame.f_back
        if frame is None:
            return None
        found = frame.f_locals.get("self")
        ours = isinstance(found, nn.Module) and is_compiled(found)
        if ours and (known is None or id(found) in known or id(original(found)) in known):
            return found
    return None
