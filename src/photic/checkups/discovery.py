"""Discovery: find the models and optimizers of a training script that knows nothing of us."""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils.hooks import RemovableHandle

from photic.checkups.faults import words
from photic.checkups.readable import raise_if_kept
from photic.checkups.watching import Watch
from photic.probes.compiled import Regions, entering_module, original, unwarned
from photic.probes.steps import after_steps

_PATIENCE = 4  # steps of an optimizer in which no model of it was called; then it has none that we can see


class Discovery:
    """Waits for the first optimizer step and then watches what was trained in it.

    Until then torch's global module hooks note which modules are called from outside of any other; those that hold
    parameters of the optimizer are the models. Afterwards nothing of this is left, until an optimizer steps that the watch
    does not know: then it looks again for one step. What is trained along with the known models joins them; what is trained
    after them is a training of its own.

    An error of ours ends the search, never the training.

    Attributes:
        fault: what went wrong inside photic; '' where nothing did.
        watch: None until the first step; then that of the training that goes on.
        ended: those of the trainings before.
        started: optimizer steps that the training had made when it was found.
    """

    def __init__(self, make: Callable[[list[nn.Module]], Watch]) -> None:
        self.make = make
        self.watch: Watch | None = None
        self.ended: list[Watch] = []
        self.started = 1
        self.fault = ""
        self._process = os.getpid()
        self._here = threading.local()  # how deep a thread is inside of modules
        self._called: dict[int, dict[int, nn.Module]] = {}  # by thread
        self._hooks: list[RemovableHandle] = []
        self._quiet = ExitStack()
        self._regions = Regions(self._region_entered, self._region_left)
        self._tries: weakref.WeakKeyDictionary[torch.optim.Optimizer, int] = weakref.WeakKeyDictionary()
        self._steps_before = 0
        self._strays: Counter[str] = Counter()  # steps of optimizers that hold nothing of what was called
        self._passers: set[str] = set()
        try:
            after_steps.add(self._stepped)
            self._look()
        except Exception as error:
            self._fail(error)

    @property
    def watches(self) -> list[Watch]:
        """All trainings, in order."""
        return [*self.ended, *([self.watch] if self.watch is not None else [])]

    @property
    def missed(self) -> str:
        """What was seen of a training in which nothing could be read; '' where nothing stepped."""
        steps = sum(watch.steps for watch in self.watches)
        if steps:
            return (
                f"{steps} steps were made, and in none of them a backward pass reached the model: the loss has no way back to it "
                "(was it made anew of plain numbers, as by `torch.tensor(loss.item())`, or detached?)"
            )
        if self._strays and self._passers:
            name, count = self._strays.most_common(1)[0]
            return (
                f"{name} stepped {count} times and holds no parameter of {', '.join(sorted(self._passers))}, which ran: it moves "
                "nothing of it (was the model made, wrapped or replaced after the optimizer? Or copies an engine, as DeepSpeed, weights of "
                "its own into it? Its gradients cannot be read)"
            )
        return ""

    def close(self) -> None:
        """Stop looking, and stop watching."""
        self._forget()
        after_steps.remove(self._stepped)
        if self.watch is not None:
            self.watch.close()

    def _fail(self, error: Exception) -> None:
        self.fault = words(error)
        self._forget()
        after_steps.remove(self._stepped)

    def _look(self) -> None:
        self._here = threading.local()
        self._quiet.enter_context(unwarned())
        self._regions.open()
        self._hook()

    def _region_entered(self) -> None:
        """A compiled region must not meet our hooks; what is called through it is told by its frame."""
        try:
            module = entering_module()
            if module is not None:
                self._note(module)
            self._unhook()
        except Exception as error:
            self._fail(error)

    def _region_left(self) -> None:
        try:
            self._hook()
        except Exception as error:
            self._fail(error)

    def _hook(self) -> None:
        self._hooks.append(torch_module.register_module_forward_pre_hook(self._entered))
        self._hooks.append(torch_module.register_module_forward_hook(self._left, always_call=True))

    def _unhook(self) -> None:
        for handle in self._hooks:
            handle.remove()
        self._hooks.clear()

    def _forget(self) -> None:
        self._regions.close()
        self._quiet.close()
        self._unhook()
        self._called.clear()

    def _entered(self, module: nn.Module, given: Any) -> None:
        if not torch.compiler.is_compiling():
            self._note(module)
            self._here.depth = self._depth + 1

    def _left(self, module: nn.Module, given: Any, output: Any) -> None:
        if not torch.compiler.is_compiling():
            self._here.depth = max(0, self._depth - 1)

    @property
    def _depth(self) -> int:
        return getattr(self._here, "depth", 0)

    def _note(self, module: nn.Module) -> None:
        """A module is called in this thread: is it from outside of any other, and in training?"""
        if self._depth == 0 and original(module).training and torch.is_grad_enabled():
            self._called.setdefault(get_ident(), {}).setdefault(id(module), module)

    def _candidates(self) -> dict[int, nn.Module]:
        """Return what was called in this thread; where that is nothing, in any."""
        every = {key: module for called in list(self._called.values()) for key, module in list(called.items())}
        return self._called.get(get_ident()) or every

    def _models(self, optimizer: torch.optim.Optimizer) -> list[nn.Module]:
        """Return the outermost modules that were called; none if none holds parameters of the optimizer."""
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        holders = [m for m in self._candidates().values() if any(p.requires_grad for p in m.parameters())]
        if not any(id(p) in owned for m in holders for p in m.parameters()):
            return []
        inner = {id(part) for m in holders for part in m.modules() if part is not m}
        return [m for m in holders if id(m) not in inner]

    def _stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if os.getpid() != self._process:  # a forked process is not ours to watch
            self._forget()
            after_steps.remove(self._stepped)
            return
        try:
            models = self._models(optimizer)
            if not models:  # another optimizer, or a model that was never called as a module
                others = list(self._candidates().values())
                self._strays[type(optimizer).__name__] += 1
                self._passers |= {type(module).__name__ for module in others}
                raise_if_kept(others)
                return
            self._forget()
            after_steps.remove(self._stepped)
            self._begin(models)
        except Exception as error:
            self._fail(error)

    def _begin(self, models: list[nn.Module]) -> None:
        self.watch = self.make(models)
        self.watch.on_stranger = self._stranger

    def _stranger(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer of parameters that nobody watches has stepped: look in its next step what it trains."""
        try:
            if not self.fault:
                self._met(optimizer)
        except Exception as error:
            self._fail(error)

    def _met(self, optimizer: torch.optim.Optimizer) -> None:
        tries = self._tries.get(optimizer, 0)
        if self.watch is None or tries > _PATIENCE:
            return
        self._tries[optimizer] = tries + 1
        if not self._hooks:
            self._steps_before = self.watch.steps
            self._look()
            return
        models = self._models(optimizer)
        if not models and tries < _PATIENCE:
            return
        along = self.watch.steps > self._steps_before or any(
            id(part) in self._candidates() for root in self.watch.roots for part in root.modules()
        )
        self._forget()
        if not models:
            return
        if along:
            self.watch.extend(models)
        else:
            self.watch.close()
            self.watch.release()
            self.ended.append(self.watch)
            self.started = tries + 1
            self._begin(models)
