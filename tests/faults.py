"""Faults: any call that photic makes can be made to fail, and what must hold of the training all the same."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import random
import sqlite3
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.utils import clip_grad
from torch.optim import optimizer as torch_optimizer
from torch.overrides import _get_current_function_mode_stack

import photic

SOURCE = str(Path(photic.__file__).parent) + os.sep
STEPS = 6


@dataclass
class Fuse:
    """Blows at the n-th call of what it guards: once, or at every call from then on."""

    nth: int
    sticky: bool
    error: Callable[[], Exception] = lambda: RuntimeError("injected")
    calls: int = 0
    blown: int = 0
    names: Counter[str] = field(default_factory=Counter[str])

    def burn(self, name: str) -> None:
        self.calls += 1
        self.names[name] += 1
        if self.calls == self.nth or (self.sticky and self.calls > self.nth):
            self.blown += 1
            raise self.error()


def guarded(fuse: Fuse, name: str, original: Callable[..., Any], *, ours_only: bool) -> Callable[..., Any]:
    """Return a function that burns the fuse before it calls the original; `ours_only`: where photic itself calls it."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not ours_only or sys._getframe(1).f_code.co_filename.startswith(SOURCE):
            fuse.burn(name)
        return original(*args, **kwargs)

    return call


@contextmanager
def set_to(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = name in vars(owner)
    before = vars(owner)[name] if own else None
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before) if own else delattr(owner, name)


def connection_class(fuse: Fuse) -> type[sqlite3.Connection]:
    class Failing(sqlite3.Connection):
        def execute(self, *given: Any) -> Any:
            fuse.burn("sqlite execute")
            return super().execute(*given)

        def executemany(self, *given: Any) -> Any:
            fuse.burn("sqlite executemany")
            return super().executemany(*given)

        def executescript(self, *given: Any) -> Any:
            fuse.burn("sqlite executescript")
            return super().executescript(*given)

        def __exit__(self, *given: Any) -> Any:
            fuse.burn("sqlite commit")
            return super().__exit__(*given)

    return Failing


@contextmanager
def files(fuse: Fuse) -> Iterator[None]:
    """Opening, making, renaming, reading the state of files."""
    calls = (
        "mkdir",
        "unlink",
        "replace",
        "exists",
        "stat",
        "open",
        "read_bytes",
        "read_text",
        "write_text",
        "write_bytes",
    )
    with ExitStack() as stack:
        for name in calls:
            stack.enter_context(set_to(Path, name, guarded(fuse, name, getattr(Path, name), ours_only=True)))
        for name in ("open", "replace", "close", "getcwd"):
            stack.enter_context(set_to(os, name, guarded(fuse, f"os.{name}", getattr(os, name), ours_only=True)))
        yield


@contextmanager
def database(fuse: Fuse) -> Iterator[None]:
    """Connecting, statements, commits."""
    original = sqlite3.connect

    def connect(*args: Any, **kwargs: Any) -> Any:
        fuse.burn("sqlite connect")
        return original(*args, **kwargs, factory=connection_class(fuse))

    with set_to(sqlite3, "connect", connect):
        yield


@contextmanager
def kernels(fuse: Fuse) -> Iterator[None]:
    """Every read of a tensor."""
    from photic.kernels import moments
    from photic.kernels.moments import compiled, numba_pass
    from photic.probes import glances

    read = guarded(fuse, "moments", compiled.moments, ours_only=False)
    passed = guarded(fuse, "pass", numba_pass.glance_float32, ours_only=False)
    with set_to(moments, "_fastest", lambda: read), set_to(glances, "_PASS", passed):
        yield


@contextmanager
def hooks(fuse: Fuse) -> Iterator[None]:
    """Setting hooks on modules, nodes and optimizers, and starting threads."""
    from photic.probes import steps

    with ExitStack() as stack:
        for name in ("register_forward_hook", "register_forward_pre_hook"):
            wrapped = guarded(fuse, name, getattr(nn.Module, name), ours_only=True)
            stack.enter_context(set_to(nn.Module, name, wrapped))
        for name in ("register_module_forward_pre_hook", "register_module_forward_hook"):
            wrapped = guarded(fuse, name, getattr(torch_module, name), ours_only=True)
            stack.enter_context(set_to(torch_module, name, wrapped))
        for moment in (steps.before_steps, steps.after_steps):
            name = "register_optimizer_step_hook"
            stack.enter_context(set_to(moment, "register", guarded(fuse, name, moment.register, ours_only=False)))
        start = guarded(fuse, "thread", threading.Thread.start, ours_only=True)
        stack.enter_context(set_to(threading.Thread, "start", start))
        yield


# Nothing of ours stands above these: they are what hands an error of ours to the watch, or is called by the user.
GUARDS = {
    "Watch._stepped", "Watch._stepping", "Watch._ran_once", "Watch._whole", "Watch._fault", "Watch._detach",
    "Watch._stop_sampling", "Watch.close", "Watch.__init__", "Watch.__enter__", "Watch.__exit__", "watch", "listed", "models", "Tracks.__init__",
    "Warned.__init__", "Warned.say", "words", "Pace.__init__", "_Costs.__init__", "Teller.__init__", "Teller.stops", "Turns.__init__",
    "Recording.__init__", "Recording.close", "ScaledSteps.__init__", "ScaledSteps.close", "ScaledSteps.scaler_steps", "ScaledSteps.scaler_stepped",
    "Sampling.__init__", "Entries.__init__", "Alarm.__init__", "Sampling.entering", "Sampling.leaving", "Sampling.forward_begins", "_Until.__call__",
    "Sampling.stop", "Sampling._take_down", "Sampling._end_last", "Sampling._pause",
    "Sampling._resume", "Regions.__init__", "Regions.close", "Regions.crossed", "Patched.leave", "_Between.__call__",
    "Glance.remove", "Glance.detach", "InPlaceAudit.close", "InPlaceAudit._missed", "InPlaceAudit._mute", "InPlaceAudit._let_pass",
    "InPlaceAudit._leave",
    "InPlaceAudit._visit",
    "InPlaceAudit.knocked", "InPlaceAudit.went", "InPlaceAudit._clips", "InPlaceAudit._cross", "Once.__init__", "Once.__call__",
    "Watcher.leave", "Watcher.end", "Watcher.__enter__", "Watcher.__exit__", "Watcher.__torch_function__", "FirstRun.__call__",
    "_Reader.__call__", "_Reader.heard", "Running.enter", "Running.leave", "Running._ours",
    "Glance._ran", "Entries.close", "Entries.forget", "Entries._entered", "Entries.left", "_Leaving.__call__",
    "_Listener.__call__", "_Moment.__call__", "_Moment.remove", "_Moment._tidy", "GradientGraph.listened", "Call.run",
    "TimeTap._hear", "StoreWriter.close", "inside_transform",
}  # fmt: skip


def ours(prefixes: tuple[str, ...]) -> Iterator[tuple[str, Any, str, Callable[..., Any]]]:
    """Yield every function and method of the named parts of photic that can be exchanged: name, owner, attribute, itself."""
    seen: set[int] = set()
    for module_name, module in sorted(sys.modules.items()):
        if module is None or not module_name.startswith(prefixes):
            continue
        for name, value in sorted(vars(module).items()):
            if inspect.isfunction(value) and value.__module__ == module_name and id(value) not in seen:
                seen.add(id(value))
                yield value.__qualname__, module, name, value
            elif inspect.isclass(value) and value.__module__ == module_name and id(value) not in seen:
                seen.add(id(value))
                for method, held in sorted(vars(value).items()):
                    plain = inspect.isfunction(held) and held.__qualname__ == f"{value.__qualname__}.{method}"
                    if plain and not method.startswith("__dataclass"):
                        yield held.__qualname__, value, method, held


PARTS = (
    "photic.probes", "photic.kernels", "photic.checkups.watching", "photic.checkups.recording", "photic.checkups.tracks",
    "photic.checkups.scaled_steps", "photic.checkups.stopping",
    "photic.checkups.verdicts", "photic.records.stores", "photic.diagnosis.diagnose", "photic.diagnosis.graph",
    "photic.diagnosis.profile", "photic.theory.network", "photic.theory.signals",
)  # fmt: skip


def functions() -> dict[str, list[tuple[Any, str, Callable[..., Any]]]]:
    """Return photic's functions by name, with every place where one is kept: a name imported elsewhere is another place."""
    found: dict[str, list[tuple[Any, str, Callable[..., Any]]]] = {}
    places: dict[int, list[tuple[Any, str]]] = {}
    for module_name, module in list(sys.modules.items()):
        if module is not None and module_name.startswith("photic"):
            for name, value in vars(module).items():
                if inspect.isfunction(value):
                    places.setdefault(id(value), []).append((module, name))
    for qualified, owner, name, value in ours(PARTS):
        if qualified not in GUARDS and not inspect.isgeneratorfunction(inspect.unwrap(value)):
            kept = places.get(id(value), []) if inspect.ismodule(owner) else [(owner, name)]
            found[f"{value.__module__}:{qualified}"] = [(place, attribute, value) for place, attribute in kept]
    return found


@contextmanager
def function(fuse: Fuse, name: str) -> Iterator[None]:
    """One of photic's own functions, wherever it is called from."""
    with ExitStack() as stack:
        for owner, attribute, value in functions()[name]:
            stack.enter_context(set_to(owner, attribute, guarded(fuse, name, value, ours_only=False)))
        yield


class Net(nn.Module):
    """Dropout draws numbers, an activation works in place, a fused recurrent layer has its own tap, a norm has buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.2)
        self.memory, self.head = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.relu_(self.norm(self.first(x))))
        return self.head(self.memory(torch.tanh(x).view(-1, 2, 4))[0][:, -1])


@dataclass
class Outcome:
    """Everything that a training leaves behind."""

    numbers: list[Tensor]
    random: tuple[Any, ...]
    warned: list[str]
    left: list[str]
    watch: Any = None


def torch_state(model: nn.Module) -> dict[str, Any]:
    """Return what photic may exchange or add while it watches: equal before and after."""
    found: dict[str, Any] = {
        name: len(value)
        for name, value in vars(torch_module).items()
        if name.startswith("_global") and hasattr(value, "__len__")
    }
    found |= {name: len(value) for name, value in vars(torch_optimizer).items() if name.startswith("_global")}
    found |= {
        f"{path}.{name}": len(held)
        for path, module in model.named_modules()
        for name, held in vars(module).items()
        if name.endswith("_hooks")
    }
    found |= {name: len(p._backward_hooks or ()) for name, p in model.named_parameters()}
    found["modes"] = len(_get_current_function_mode_stack())
    for owner, name in ((torch.autograd, "backward"), (torch.autograd, "grad"), (clip_grad, "_clip_grads_with_norm_"),
                        (F, "has_torch_function"), (F, "has_torch_function_unary"), (torch.functional, "has_torch_function")):  # fmt: skip
        found[name] = getattr(owner, name)
    return found


def trained(watched: bool, record: Path | None = None, *, every: int = 1, steps: int = STEPS) -> Outcome:
    """Train the network for some steps, with or without the watch."""
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    x, y = torch.randn(16, 6), torch.randint(3, (16,))
    numbers: list[Tensor] = []
    before = torch_state(model)
    watch: Any = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if watched:
            watch = photic.watch(model, optimizer, every=every, record=record)
        try:
            for _ in range(steps):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                numbers.append(loss.detach().clone())
        finally:
            if watch is not None:
                watch.close()
    numbers += [value.detach().clone() for value in model.state_dict().values()]
    left = [
        f"{key}: {before.get(key)} became {value}"
        for key, value in torch_state(model).items()
        if before.get(key) != value
    ]
    left += [f"the thread {t.name!r} runs" for t in threading.enumerate() if t.name == "photic store"]
    drawn = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    return Outcome(numbers, drawn, [str(w.message) for w in warned], left, watch)


@functools.lru_cache(maxsize=4)
def plain(steps: int = STEPS) -> Outcome:
    """Return the training as it is without photic."""
    return trained(False, steps=steps)


def wrong(seen: Outcome, *, steps: int = STEPS) -> list[str]:
    """Return what does not hold of a training that was watched while something failed."""
    own = plain(steps)
    found: list[str] = []
    if len(own.numbers) != len(seen.numbers) or not all(map(torch.equal, own.numbers, seen.numbers)):
        found.append("the numbers changed")
    if not torch.equal(own.random[0], seen.random[0]) or own.random[1:] != seen.random[1:]:
        found.append("the random numbers changed")
    if len(seen.warned) > 1:
        found.append(f"{len(seen.warned)} warnings: {seen.warned}")
    return found + seen.left


BOUNDARIES: dict[str, tuple[Callable[[Fuse], Any], Callable[[], Exception]]] = {
    "files": (files, lambda: OSError(errno.ENOSPC, "no space left on device")),
    "database": (database, lambda: sqlite3.OperationalError("database or disk is full")),
    "kernels": (kernels, lambda: MemoryError("injected")),
    "hooks": (hooks, lambda: RuntimeError("can't start new thread")),
}


def calls(what: Callable[[Fuse], Any], record: Path | None) -> tuple[int, list[str]]:
    """Return how many calls could fail in a training, and what does not hold although none did."""
    fuse = Fuse(0, False)
    found = failed(what, fuse, record)
    return fuse.calls, found


def failed(what: Callable[[Fuse], Any], fuse: Fuse, record: Path | None) -> list[str]:
    """Train while something fails, and return what does not hold."""
    try:
        with what(fuse):
            seen = trained(True, record)
    except Exception as error:
        return [f"the training ended with {type(error).__name__}: {error}"]
    return wrong(seen)
