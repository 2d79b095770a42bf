"""Bounds: what the watch holds does not grow, no tensor outlives its step, and a stalled disk never holds the training up."""

from __future__ import annotations

import gc
import queue
import sqlite3
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records import stores
from photic.records.stores import StoreReader, StoreWriter


class Leaking(nn.Module):
    """Remembers, weakly, every tensor that its forward makes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)
        self.__dict__["made"] = list[weakref.ref[Tensor]]()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        bent = torch.tanh(hidden)
        out = self.second(bent).softmax(1)
        self.made.extend(weakref.ref(t) for t in (hidden, bent, out))
        return out


class Recurrent(nn.Module):
    """The same, around a fused recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.memory, self.head = nn.Linear(6, 6), nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 3)
        self.made: list[weakref.ref[Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        b = self.memory(a.view(-1, 2, 3))[0]
        c = torch.softmax(self.head(b[:, -1]), 1)
        self.made += [weakref.ref(a), weakref.ref(b), weakref.ref(c)]
        return c


@pytest.mark.parametrize("build", [Leaking, Recurrent])
@pytest.mark.parametrize("every", [0, 1])
def test_no_tensor_outlives_its_step(every: int, build: Callable[[], Any]) -> None:
    """Not even until the garbage collector comes: activations that wait for it would double the memory of a step."""
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    gc.collect()
    gc.disable()
    try:
        with photic.watch(model, optimizer, every=every) as watch:
            for step in range(10):
                x, y = torch.randn(8, 6), torch.randint(3, (8,))
                entering = weakref.ref(x)
                loss = F.nll_loss(model(x).log(), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                whole = weakref.ref(loss)
                del x, loss
                assert [ref() is None for ref in model.made] == [True] * 3 * (step + 1), f"step {step}"
                assert entering() is None and whole() is None, f"step {step}"
        assert watch.faults == []
    finally:
        gc.enable()


def test_what_the_watch_holds_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(8, 6), torch.randint(3, (8,))

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    with photic.watch(model, optimizer, every=1, record=tmp_path / "r.sqlite") as watch:
        steps(520)  # the last audit of the start-up is at 512
        tracemalloc.start()
        steps(600)  # what is kept for reuse, some audits among them
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        steps(400)
        while watch._recording._store is not None and watch._recording._store._queue.qsize():
            time.sleep(0.01)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 32_000, f"{grown} bytes in 400 steps with a glance each: 80 a step, less than a row"


class Stalled(sqlite3.Connection):
    """A disk that answers when `go` is set, and not before."""

    go = threading.Event()

    def execute(self, *given: Any) -> Any:
        if "insert" in given[0]:
            self.go.wait(60.0)
        return super().execute(*given)


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    Stalled.go = threading.Event()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Stalled))
    return Stalled.go


def test_a_stalled_disk_does_not_hold_the_training_up_and_what_is_dropped_is_counted(
    tmp_path: Path, stalled: threading.Event
) -> None:
    with StoreWriter(tmp_path / "r.sqlite") as writer:
        taken: list[float] = []
        for step in range(5000):
            start = time.perf_counter()
            writer.row("loss", step, [float(step)])
            writer.fact("now", step)
            taken.append(time.perf_counter() - start)
        assert writer.dropped >= 5000 - 2 * stores._WAITING - 2
        assert writer._queue.qsize() <= stores._WAITING + 1 and len(writer._facts) <= 2
        late = sum(seconds > 0.001 for seconds in taken)  # none waits; a busy machine may take the processor away
        assert sorted(taken)[2500] < 0.0001 and late < 50, (
            f"{late} calls took more than 1 ms, the longest {max(taken):.4f} s"
        )
        stalled.set()
    reader = StoreReader(tmp_path / "r.sqlite")
    assert len(reader.rows("loss")) + writer.dropped == writer.offered == 5000
    assert reader.facts()["dropped"] == writer.dropped and reader.facts()["now"] == 4999
    reader.close()


def test_giving_a_row_never_waits_for_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stalled: threading.Event
) -> None:
    """The same without a clock: no lock is waited for and nothing is asked of a queue that could block."""
    with StoreWriter(tmp_path / "r.sqlite") as writer:
        assert type(writer._queue) is queue.SimpleQueue  # its put is written in C and never waits
        for forbidden in ("Lock", "Condition", "Event"):
            monkeypatch.setattr(threading, forbidden, lambda *_: pytest.fail("a lock was made while a row was given"))
        monkeypatch.setattr(time, "sleep", lambda *_: pytest.fail("it slept"))
        for step in range(600):
            writer.row("loss", step, [0.0])
        monkeypatch.undo()
        stalled.set()


def test_the_queue_is_bounded_in_bytes(tmp_path: Path, stalled: threading.Event) -> None:
    with StoreWriter(tmp_path / "r.sqlite") as writer:
        for step in range(60):
            writer.row("wide", step, [0.0] * 100_000)
        assert writer._put - writer._taken <= stores._WAITING_BYTES
        stalled.set()
    reader = StoreReader(tmp_path / "r.sqlite")
    assert len(reader.rows("wide")) + writer.dropped == 60 and writer.dropped > 0
    reader.close()


def test_a_disk_that_fails_has_its_rows_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(sqlite3.Connection):
        rows = 0

        def execute(self, *given: Any) -> Any:
            Full.rows += "into rows" in given[0]
            if Full.rows > 20:
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(*given)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Full))
    with StoreWriter(tmp_path / "r.sqlite") as writer:
        for step in range(100):
            writer.row("loss", step, [1.0])
            time.sleep(0.0005)
    monkeypatch.undo()
    reader = StoreReader(tmp_path / "r.sqlite")
    stored = len(reader.rows("loss"))
    assert "disk is full" in writer.failure and stored + writer.dropped == writer.offered == 100
    reader.close()
