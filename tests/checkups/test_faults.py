"""Whatever photic asks of the world fails, at any call; the training does not notice. `dev.py bench faults` fails every call."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks, register_optimizer_step_post_hook

import photic
from photic.checkups import verdicts
from photic.checkups.discovery import Discovery
from photic.checkups.watching import Watch
from photic.probes import in_place, pace
from photic.probes.steps import after_steps
from photic.records.stores import StoreReader
from tests.faults import BOUNDARIES, Fuse, failed, function, plain, set_to, torch_state, trained, wrong

# The 1st, 2nd, 3rd call, and fewer of the later ones: the benchmark takes all.
CALLS = {
    "files": (1, 2, 3, 4),
    "database": (1, 2, 3, 7, 11, 12, 17, 29),
    "kernels": (1, 2, 9, 40, 80),
    "hooks": (1, 2, 3, 4, 9, 19),
}


@pytest.mark.parametrize("kind", BOUNDARIES)
@pytest.mark.parametrize("sticky", [False, True])
def test_the_training_does_not_notice_what_fails(kind: str, sticky: bool, tmp_path: Path) -> None:
    what, error = BOUNDARIES[kind]
    for nth in CALLS[kind]:
        fuse = Fuse(nth, sticky, error)
        assert failed(what, fuse, tmp_path / f"{nth}.sqlite") == [], f"call {nth} of {dict(fuse.names)}"
        assert fuse.blown


@pytest.mark.parametrize(
    "name",
    [
        "photic.probes.recorder:Recorder._before", "photic.probes.calls:Watcher._call", "photic.probes.where:user_line",
        "photic.probes.in_place:InPlaceAudit.before_step", "photic.probes.raw_gradients:RawGradients._now",
        "photic.probes.modules:Running.path", "photic.probes.pace:Pace.stepped", "photic.checkups.watching:Watch._prepare",
        "photic.checkups.watching:Watch._ours", "photic.checkups.watching:Watch._describe", "photic.probes.updates:snapshot",
        "photic.records.stores:StoreWriter.row", "photic.records.stores:StoreWriter.fact", "photic.probes.glances:Glance.install",
        "photic.probes.glances:Glance.__init__", "photic.theory.network:predict_run", "photic.checkups.recording:Recording._ended",
        "photic.probes.time_axis:TimeTap._by_step", "photic.probes.doors:_asked",
    ],
)  # fmt: skip
def test_the_training_does_not_notice_which_function_of_photic_fails(name: str, tmp_path: Path) -> None:
    for nth, sticky in ((1, False), (1, True), (2, False)):
        fuse = Fuse(nth, sticky)
        found = failed(functools.partial(function, name=name), fuse, tmp_path / f"{nth}{sticky}.sqlite")
        assert found == [] and (fuse.blown or nth > 1)


def test_the_harness_sees_a_fault_that_reaches_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(type(after_steps), "__call__", failing)
    assert failed(BOUNDARIES["files"][0], Fuse(0, False), None) == ["the training ended with KeyError: 'ours'"]


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int = 4) -> None:
    x, y = torch.randn(8, 6), torch.randint(3, (8,))
    for _ in range(count):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    return model, torch.optim.SGD(model.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore:photic stopped")
def test_hooks_that_others_set_on_every_step_survive_a_fault_and_a_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch walks over these hooks while they run; one that is taken away from within breaks the user's step."""

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("ours")

    heard: list[int] = []
    model, optimizer = network()
    discovery = Discovery(Watch)
    theirs = register_optimizer_step_post_hook(lambda *_: heard.append(1))
    steps(model, optimizer)
    assert discovery.watch is not None and discovery.watch.steps == 3 and discovery.fault == ""
    monkeypatch.setattr(verdicts, "diagnose", broken)
    watch = photic.watch(model, optimizer)
    also_theirs = register_optimizer_step_post_hook(lambda *_: heard.append(1))
    steps(model, optimizer)
    assert watch.faults == ["KeyError: 'ours'"] and len(heard) == 4 + 8
    discovery.close()
    theirs.remove(), also_theirs.remove()
    steps(model, optimizer, 1)
    assert not _global_optimizer_post_hooks


@pytest.mark.filterwarnings("ignore:photic stopped")
def test_a_user_who_makes_errors_of_warnings_gets_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, optimizer = network()
        monkeypatch.setattr(verdicts, "diagnose", lambda *_, **__: 1 / 0)
        with photic.watch(model, optimizer) as watch:
            steps(model, optimizer)
    assert watch.faults == ["ZeroDivisionError: division by zero"]


def test_a_clock_that_jumps_back_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own = plain(40)
    times = iter(range(10**9, -(10**9), -977))
    with monkeypatch.context() as patch:
        for module in (pace, in_place):
            patch.setattr(module.time, "perf_counter", lambda: float(next(times)))
        patch.setattr(time, "time", lambda: float(next(times)))
        seen = trained(True, every=0, steps=40)
    assert wrong(seen, steps=40) == [] and seen.watch.faults == [] and len(own.numbers) == len(seen.numbers)


def test_two_threads_train_and_are_watched_and_nothing_is_left() -> None:
    """Audits of two threads overlap and end in any order; what they exchanged in torch is as before."""
    torch.manual_seed(0)
    networks = [network() for _ in range(4)]
    before = torch_state(networks[0][0])
    watches: list[Watch] = []
    errors: list[BaseException] = []

    def work(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        try:
            with photic.watch(model, optimizer, every=1) as watch:
                watches.append(watch)
                steps(model, optimizer, 12)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in networks]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert errors == [] and [watch.faults for watch in watches] == [[]] * 4
    assert [watch.steps for watch in watches] == [12] * 4
    assert torch_state(networks[0][0]) == before


def test_two_watches_in_one_step_leave_torch_as_it_was() -> None:
    (first, one), (second, two) = network(), network()
    before = torch_state(first)
    x = torch.randn(8, 6)
    with photic.watch(first, one) as a, photic.watch(second, two) as b:
        for _ in range(4):
            (first(x).square().mean() + second(x).square().mean()).backward()
            one.step(), two.step()
            one.zero_grad(), two.zero_grad()
    assert a.faults == b.faults == [] and torch_state(first) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_trains_on_unwatched_and_the_record_is_the_parents(tmp_path: Path) -> None:
    model, optimizer = network()
    with photic.watch(model, optimizer, record=tmp_path / "r.sqlite", every=1) as watch:
        steps(model, optimizer, 3)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                steps(model, optimizer, 3)
                watch.close()
                code = 0 if watch.faults == [] and not _global_optimizer_post_hooks else 2
            finally:
                os._exit(code)
        deadline = time.monotonic() + 60
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline or os.kill(child, signal.SIGKILL), "the forked process hangs"
            time.sleep(0.02)
        steps(model, optimizer, 3)
    reader = StoreReader(tmp_path / "r.sqlite")
    assert reader.facts()["steps"] == 6 and reader.lost == 0
    reader.close()


def test_a_record_that_cannot_be_made_leaves_the_training_watched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    seen = trained(
        True, tmp_path / "file" / "r.sqlite"
    )  # a folder that is none: what a read-only place answers, also to root
    assert wrong(seen) == [] and len(seen.warned) == 1 and "keeps no record" in seen.warned[0]
    assert seen.watch.faults == [] and len(seen.watch.run.steps) == 2


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "theirs.sqlite")
    connection.execute("create table theirs (a)")
    connection.commit()
    connection.close()
    whole = (tmp_path / "theirs.sqlite").read_bytes()
    seen = trained(True, tmp_path / "theirs.sqlite")
    assert wrong(seen) == [] and "another program" in seen.warned[0]
    assert (tmp_path / "theirs.sqlite").read_bytes() == whole


def test_a_step_of_too_many_operations_is_left_alone() -> None:
    with set_to(in_place, "MOST_SITES", 3):
        seen = trained(True)
    assert wrong(seen) == [] and seen.watch.faults == [] and "operations" in seen.watch.notes[0]


def test_a_backward_from_an_edge_of_the_graph_is_let_pass() -> None:
    model, optimizer = network()
    with photic.watch(model, optimizer) as watch:
        edge = torch.autograd.graph.get_gradient_edge(model(torch.randn(8, 6)).sum())
        torch.autograd.backward([edge], [torch.ones(())])
        optimizer.step()
    assert watch.faults == []


def test_a_working_directory_that_is_gone_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    model, optimizer = network()
    with photic.watch(model, optimizer) as watch:
        steps(model, optimizer)
    assert watch.faults == []
