"""Entries: when one of some modules is called, and when it returns, while nothing of ours lies in the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

from photic.probes.compiled import unwarned
from photic.probes.transforms import inside_transform

Entered = Callable[[nn.Module, Any, Any], None]  # module, args, kwargs
Returned = Callable[[nn.Module, Any, Any], None]  # module, args, output


class Entries:
    """Tells of calls of modules through torch's global hook, so that a model can be copied, saved and scripted meanwhile.

    Only a module that is running bears a hook of ours, as its last one: what it returns is told after its own hooks.
    """

    def __init__(self, entered: Entered, returned: Returned, fault: Callable[[Exception], None]) -> None:
        self._tell_entered, self._tell_returned, self._fault = entered, returned, fault
        self._modules: dict[int, nn.Module] = {}
        self._running: list[nn.Module] = []
        self._leaving: dict[int, RemovableHandle] = {}  # by module
        self._around = ExitStack()

    def open(self, modules: Iterable[nn.Module]) -> None:
        """Tell of these modules from now on; those that run since before `close` are still known."""
        self.close()
        self._modules = {id(module): module for module in modules}
        self._around.enter_context(unwarned())
        self._around.callback(register_module_forward_pre_hook(self._entered).remove)
        for module in self._running:
            self._await(module)

    def close(self) -> None:
        """Take every hook away."""
        self._modules = {}
        self._around.close()
        for handle in self._leaving.values():
            handle.remove()
        self._leaving.clear()

    def forget(self) -> None:
        """Close, and wait for the return of nothing that runs now."""
        self.close()
        self._running.clear()

    def _await(self, module: nn.Module) -> None:
        if id(module) not in self._leaving:
            self._leaving[id(module)] = module.register_forward_hook(_Leaving(self), always_call=True)

    def _entered(self, module: nn.Module, args: Any) -> None:
        if torch.compiler.is_compiling() or self._modules.get(id(module)) is not module:
            return
        try:
            if inside_transform():
                return
            # torch hands a global pre-hook no keyword arguments: they stand in the frame that called it
            self._tell_entered(module, args, sys._getframe(1).f_locals.get("kwargs") or {})
            if self._modules.get(id(module)) is module:  # not closed by what was told
                self._running.append(module)
                self._await(module)
        except Exception as error:
            self._fault(error)

    def left(self, module: nn.Module, args: Any, output: Any, *, failed: bool) -> None:
        """A module has returned, or raised."""
        try:
            place = next((k for k in range(len(self._running) - 1, -1, -1) if self._running[k] is module), None)
            if place is None:
                return
            del self._running[place]
            if not any(other is module for other in self._running) and id(module) in self._leaving:
                self._leaving.pop(id(module)).remove()
            if not failed:
                self._tell_returned(module, args, output)
        except Exception as error:
            self._fault(error)


class _Leaving:
    """The hook of a running module; a copy of it, made within the forward, is a plain hook of Python's that does nothing."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.before = sys.exc_info()[1]

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.entries.left(module, args, output, failed=sys.exc_info()[1] is not self.before)

    def __reduce__(self) -> Any:
        return getattr, (nullcontext(), "__exit__")
