"""Steps: hear every optimizer's step, before and after it; who listens may come and go at any moment, also within a step."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

Listener = Callable[[torch.optim.Optimizer, Any, Any], Any]
_lock = threading.RLock()


class _Moment:
    """One global hook of torch's for all listeners; it is there only while somebody listens.

    torch walks over its optimizer hooks while they run: one that is added or taken away from within makes the user's step
    fail with "mutated during iteration" as soon as somebody else has one behind it. So listeners are kept here, and the
    last one to leave from within a step takes the hook away at once only where none stands behind it, else in the next
    forward of any module, whose hooks torch copies.
    """

    def __init__(self, register: Callable[[Any], RemovableHandle]) -> None:
        self.register = register
        self.listeners: tuple[Listener, ...] = ()
        self.hook: RemovableHandle | None = None
        self.later: RemovableHandle | None = None
        self.running = 0

    def __call__(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        """Tell all listeners; before a step one may return other (args, kwargs), which the next ones and the step get."""
        changed = None
        try:
            if _is_inner(optimizer):
                return None
        except Exception:  # heard twice is better than an error in the user's step
            pass
        self.running += 1
        try:
            for listener in self.listeners:
                returned = listener(optimizer, args, kwargs)
                if returned is not None:
                    changed = args, kwargs = returned
        finally:
            self.running -= 1
        return changed

    def add(self, listener: Listener) -> None:
        """Tell a listener of every step from the next one on."""
        with _lock:
            if self.hook is None:
                self.hook = self.register(self)
            if self.later is not None:
                self.later.remove()
                self.later = None
            self.listeners = (*self.listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Tell it of no further step; nothing happens if it did not listen."""
        with _lock:
            self.listeners = tuple(other for other in self.listeners if other != listener)
            self._tidy()

    def _is_last(self, hook: RemovableHandle) -> bool:
        held = hook.hooks_dict_ref()
        return held is not None and next(reversed(held), None) == hook.id

    def _tidy(self, *_: Any) -> None:
        """Take the hook away if nobody listens, now or in the next forward."""
        with _lock:
            if self.running and not self.listeners and self.hook is not None and not self._is_last(self.hook):
                self.later = self.later or register_module_forward_pre_hook(self._tidy)
                return
            if self.later is not None:
                self.later.remove()
                self.later = None
            if not self.listeners and self.hook is not None:
                self.hook.remove()
                self.hook = None


def _is_inner(optimizer: torch.optim.Optimizer) -> bool:
    """Whether this step was called by a step of the same optimizer: a class that calls `super().step()`.

    torch runs the hooks of both, as soon as an optimizer of the class above was made too.
    """
    steps = [vars(kind)["step"] for kind in type(optimizer).__mro__ if "step" in vars(kind)]
    codes = [getattr(step, "__code__", None) for step in steps if getattr(step, "hooked", False)]
    if len(codes) < 2:
        return False
    frame = sys._getframe(3)  # above `__call__`, and the step whose hook that is
    while frame is not None:
        if frame.f_code in codes and frame.f_locals.get("self") is optimizer:
            return True
        frame = frame.f_back
    return False


before_steps = _Moment(register_optimizer_step_pre_hook)
after_steps = _Moment(register_optimizer_step_post_hook)
