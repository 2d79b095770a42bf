"""Regression guards: what watching does is counted, not timed, so that the machine's mood cannot hide a step back."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import photic
from photic.kernels import moments as kernel_moments
from photic.kernels.moments import compiled
from photic.probes import glances, steps
from photic.records.stores import StoreWriter

SOURCE = str(Path(photic.__file__).parent)
SYNCHRONISING = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "_to_copy")


class Operations(TorchDispatchMode):
    """Counts every operation that reaches the dispatcher, photic's own included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def network(depth: int = 3) -> tuple[nn.Module, torch.optim.Optimizer, Tensor, Tensor]:
    torch.manual_seed(0)
    layers = [part for _ in range(depth) for part in (nn.Linear(8, 8), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Linear(8, 3))
    return model, torch.optim.SGD(model.parameters(), 0.01), torch.randn(16, 8), torch.randint(3, (16,))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def counted(kind: str, depth: int = 3, *, every: int = 0, before: int = 3) -> Counter[str]:
    """Return the operations of one step of a kind: nothing, glance, audit; 'plain' is the step without photic."""
    parts = network(depth)
    if kind == "plain":
        step(*parts)
        with Operations() as mode:
            step(*parts)
        return mode.seen
    with photic.watch(parts[0], parts[1], budget=0.0, every=every) as watch:
        for _ in range(before):
            step(*parts)
        assert watch._kind == kind
        with Operations() as mode:
            step(*parts)
        assert watch.faults == []
    return mode.seen


def test_a_plain_step_runs_one_hook_and_not_one_operation_of_ours() -> None:
    parts = network()
    calls: Counter[str] = Counter()

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(SOURCE):
            calls[frame.f_code.co_qualname] += 1

    with photic.watch(parts[0], parts[1], budget=0.0) as watch:
        for _ in range(10):
            step(*parts)
        assert watch._kind == "nothing"
        assert steps.before_steps.hook is None and len(steps.after_steps.listeners) == 1
        sys.setprofile(profile)
        step(*parts)
        sys.setprofile(None)
    assert calls["Watch._stepped"] == 1 and calls["_Moment.__call__"] == 1
    assert sum(calls.values()) <= 30, calls  # one hook: who stepped, how long it took, what comes next
    assert counted("nothing") == counted("plain")


def test_nothing_waits_for_a_device_on_a_plain_step() -> None:
    seen = counted("nothing")
    assert [name for name in SYNCHRONISING if seen[name]] == []


def test_a_glance_runs_no_operation_of_torch_and_waits_for_nothing() -> None:
    """On the CPU each tensor is read by the compiled pass, at its address: nothing goes through torch."""
    plain, seen = counted("plain"), counted("glance", every=1)
    extra = seen - plain
    extra.pop("detach", None)  # an alias, no work
    assert not extra, extra
    assert [name for name in SYNCHRONISING if seen[name]] == []


def test_a_glance_reads_every_tensor_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    own = glances._PASS
    monkeypatch.setattr(glances, "_PASS", lambda *given: read.append(1) or own(*given))
    for depth in (2, 6):
        read.clear()
        counted("glance", depth, every=1, before=3)
        parts = 2 * depth + 1
        glanced = len(read) // (2 * parts)  # steps 1 and 3 before or in the count
        assert len(read) == 2 * parts * glanced and glanced >= 1


def test_an_audit_grows_with_the_layers_and_not_faster() -> None:
    """Operations of ours in an audit: the second difference over the depth is zero, so the growth is linear."""
    extra = [sum((counted("audit", depth, before=2) - counted("plain", depth)).values()) for depth in (4, 8, 12)]
    first, second = extra[1] - extra[0], extra[2] - extra[1]
    assert first == second > 0, extra
    assert first <= 4 * 160, f"{first / 4} operations for a linear layer and its tanh"


def test_an_audit_reads_each_tensor_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def reading(tensor: Tensor) -> Any:
        read.append(tensor.data_ptr())
        return compiled.moments(tensor)

    monkeypatch.setattr(kernel_moments, "_fastest", lambda: reading)
    found: list[int] = []
    for depth in (4, 8, 12):
        read.clear()
        counted("audit", depth, before=2)
        found.append(len(read))
    first, second = found[1] - found[0], found[2] - found[1]
    # of a layer and its tanh: two signals, two gradients, weight and bias and their gradients; the count has two audits
    assert first == second <= 4 * 2 * 9, found


def test_a_recorded_step_costs_its_rows_and_two_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: Counter[str] = Counter()
    ready = threading.Event()

    class Counting(sqlite3.Connection):
        def execute(self, *given: Any) -> Any:
            ready.wait(30.0) if "insert" in given[0] else None
            statements[" ".join(given[0].split()[:5])] += 1
            return super().execute(*given)

        def __exit__(self, *given: Any) -> Any:
            statements["commit"] += 1
            return super().__exit__(*given)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Counting))
    with StoreWriter(tmp_path / "r.sqlite") as writer:
        for number in range(100):
            writer.row("glance/signal", number, [1.0])
            writer.row("glance/gradient", number, [1.0])
        ready.set()
    rows, facts = statements["insert or ignore into rows"], statements["insert or replace into facts"]
    assert rows == writer.offered - writer.dropped == 200
    assert statements["commit"] <= 3 and facts <= statements["commit"] + 1, statements
