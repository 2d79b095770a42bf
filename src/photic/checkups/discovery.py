"""Discovery: find the models and optimizers of a training script that knows nothing of us."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils.hooks import RemovableHandle

from photic.checkups.watching import Watch
from photic.probes.steps import after_steps


class Discovery:
    """Waits for the first optimizer step and then watches what was trained in it.

    Until then torch's global module hooks note which modules are called from outside of any other; those that hold
    parameters of the optimizer are the models. Afterwards nothing of this is left.

    An error of ours ends the search, never the training.

    Attributes:
        watch: None until the first step.
        fault: what went wrong inside photic; '' where nothing did.
    """

    def __init__(self, make: Callable[[list[nn.Module]], Watch]) -> None:
        self.make = make
        self.watch: Watch | None = None
        self.fault = ""
        self._depth = 0
        self._thread = get_ident()
        self._process = os.getpid()
        self._called: dict[int, nn.Module] = {}
        self._handles: list[RemovableHandle] = [
            torch_module.register_module_forward_pre_hook(self._entered),
            torch_module.register_module_forward_hook(self._left, always_call=True),
        ]
        after_steps.add(self._stepped)

    def close(self) -> None:
        """Stop looking, and stop watching."""
        self._forget()
        if self.watch is not None:
            self.watch.close()

    def _forget(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        after_steps.remove(self._stepped)
        self._called.clear()

    def _entered(self, module: nn.Module, given: Any) -> None:
        if get_ident() != self._thread:
            return
        if self._depth == 0 and module.training and torch.is_grad_enabled():
            self._called.setdefault(id(module), module)
        self._depth += 1

    def _left(self, module: nn.Module, given: Any, output: Any) -> None:
        if get_ident() == self._thread:
            self._depth -= 1

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if os.getpid() != self._process:  # a forked process is not ours to watch
            return self._forget()
        try:
            holders = self._holders(optimizer)
            if holders:
                self.watch = self.make(holders)
                self._forget()
        except Exception as error:
            self.fault = f"{type(error).__name__}: {error}"
            self._forget()
        return None

    def _holders(self, optimizer: torch.optim.Optimizer) -> list[nn.Module]:
        """Return the outermost models that were called; none if this is another optimizer, or they never were."""
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        holders = [m for m in self._called.values() if any(p.requires_grad for p in m.parameters())]
        if not any(id(p) in owned for m in holders for p in m.parameters()):
            return []
        inner = {id(part) for m in holders for part in m.modules() if part is not m}
        return [m for m in holders if id(m) not in inner]
