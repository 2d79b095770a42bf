"""The crew: side by side or in turn the arms give the same numbers; what is kept is not trained again; a death is told."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from photic.remedies.arms import Arm
from photic.remedies.crew import Crew, Order, at_once
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.shelf import Shelf
from photic.remedies.treat import treat
from photic.remedies.trials import side_effects
from tests import children, zoo

RUNGS = (5, 10, 20)


def sgd(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def material(build: Any = zoo.Mlp, loss: Any = F.cross_entropy) -> Material:
    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(16, 64, generator=generator), torch.randint(10, (16,), generator=generator)) for _ in range(12)
    ]
    return Material.collect(build, batches, loss, sgd, steps=20)


def timeless(course: Any) -> Any:
    return dataclasses.replace(course, pace=0.0, seconds=0.0)


@pytest.fixture
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_arms_side_by_side_give_the_numbers_of_arms_in_turn() -> None:
    courses = []
    for together in (1, 3):
        with Crew(
            material(), RUNGS, lambda model: float(sum(p.detach().sum() for p in model.parameters())), at_once=together
        ) as crew:
            members = [crew.enlist(str(rate), Prescription(rate=rate), seed) for rate in (1.0, 0.1) for seed in (0, 1)]
            crew.work(*(Order(member, 5) for member in members))  # paused, and on
            crew.work(*(Order(member, 20, judged=True) for member in members))
            assert crew.trained == 80
            courses.append([timeless(member.seen) for member in members])
    assert courses[0] == courses[1]
    assert courses[0][0].score is not None and [one.steps for one in courses[0][0].held_back] == [0, *RUNGS]


def test_the_users_process_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    with Crew(material(), RUNGS, None, at_once=2) as crew:
        members = [crew.enlist("", None, seed) for seed in range(3)]
        crew.work(*(Order(member, 20) for member in members))
        processes = [member.hands.process for member in members]  # type: ignore[union-attr]
        assert all(process.is_alive() for process in processes)
    assert not any(process.is_alive() for process in processes)
    assert torch.equal(before, torch.get_rng_state())


def test_a_process_that_dies_is_a_failure_in_words_and_the_others_go_on() -> None:
    parent = os.getpid()

    def dies(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if os.getpid() != parent and torch.initial_seed() == 90_001:
            os.kill(os.getpid(), signal.SIGKILL)
        return F.cross_entropy(output, targets)

    with Crew(material(loss=dies), RUNGS, None, at_once=2) as crew:
        dead, alive = crew.enlist("", None, 90_001), crew.enlist("", None, 0)
        crew.work(Order(dead, 20), Order(alive, 20))
    assert "ended by itself" in dead.failure and "-9" in dead.failure
    assert len(alive.seen.losses) == 20 and not alive.failure


def test_an_error_of_a_remedy_is_its_own_failure() -> None:
    with Crew(material(), RUNGS, None, at_once=2) as crew:
        member = crew.enlist("", Prescription(scheme="no-such-scheme"), 0)
        crew.work(Order(member, 5))
    assert "no-such-scheme" in member.failure


def test_what_was_kept_is_read_and_what_differs_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(given: Material, prescription: Prescription, seed: int = 0) -> Any:
        with Crew(given, RUNGS, None, shelf=Shelf(tmp_path, given, RUNGS)) as crew:
            member = crew.enlist("", prescription, seed)
            crew.work(Order(member, 10))
            return member.seen

    first = run(material(), Prescription())
    made: list[Any] = []
    plain = Arm.__init__
    monkeypatch.setattr(Arm, "__init__", lambda self, *given: (made.append(given), plain(self, *given))[1])
    assert run(material(), Prescription()) == first and not made
    run(material(), Prescription(rate=0.5))
    run(material(), Prescription(), seed=1)
    run(material(lambda: zoo.Mlp(depth=3)), Prescription())
    assert len(made) == 3
    for kept in tmp_path.glob("*.json"):  # a damaged course is no course
        kept.write_text(kept.read_text()[:100])
    assert timeless(run(material(), Prescription())) == timeless(first) and len(made) == 4


SLOW = """
import sys, time, torch, torch.nn.functional as F
from photic.remedies.treat import treat
from torch import nn
torch.manual_seed(0)
targets = [torch.randint(10, (16,)) for _ in range(12)]
batches = [(F.one_hot(y, 16).float() + 0.1 * torch.randn(16, 16), y) for y in targets]
def build():
    layers = [part for _ in range(6) for part in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Linear(16, 10))
def sgd(model): return torch.optim.SGD(model.parameters(), lr=0.1)
found = treat(build, batches, F.cross_entropy, optimizer=sgd, steps=60, keep=sys.argv[1], workers=2)
print([(t.remedy, t.outcome, t.losses, t.seed_losses) for t in found.trials])
"""


@pytest.mark.slow
def test_a_killed_treatment_goes_on_where_it_was(tmp_path: Path) -> None:
    def command(folder: str) -> list[str]:
        return [sys.executable, "-c", SLOW, str(tmp_path / folder)]

    killed = subprocess.Popen(command("kept"), stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    end = time.monotonic() + 120.0
    while len(list(tmp_path.glob("kept/*.json"))) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("kept/*.json")}
    assert len(kept) >= 3
    again, whole = (children.run(command(folder), cwd=tmp_path) for folder in ("kept", "other"))
    assert again.stdout == whole.stdout != "", again.stderr + whole.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # read, not written again


def test_how_many_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small = zoo.Mlp()
    assert at_once(small, 1) == 1 and at_once(small, 3) == 3
    assert at_once(small, None, lambda: 0.1) == 1 and at_once(small, None, lambda: 10.0) == at_once(small, None)

    def never() -> float:
        raise AssertionError("how long an arm trains is measured where nothing depends on it")

    assert at_once(small, 2, never) == 2
    large = torch.nn.Linear(5_000, 5_000, device="meta")
    assert at_once(large, None) == 1
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert at_once(small, None) == 1 and at_once(small, 3) == 1


def test_the_time_limit_stops_the_search_with_the_control_trained() -> None:
    given = material(lambda: zoo.Mlp(torch.sigmoid, 10))
    treatment = treat(given.build, list(given.training), F.cross_entropy, optimizer=sgd, steps=40, minutes=0.0)
    control, *others = treatment.trials
    assert len(control.losses) == 40 and not treatment.accepted
    assert {trial.outcome for trial in others} <= {"stopped", "refused", "not-applicable"}


class Waits(zoo.Mlp):
    """A network that waits for something else, as an arm does while others have the processor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return super().forward(x)


@pytest.mark.usefixtures("one_thread")
def test_a_step_is_not_slower_because_others_had_the_processor() -> None:
    def course(build: Any) -> Any:
        return Arm(material(build), None, 0, (5,)).advance(5)

    assert course(Waits).pace < 0.02  # on the wall each step took at least that
    assert course(zoo.Mlp).pace > 0.0


@pytest.mark.usefixtures("one_thread")
def test_no_pace_is_told_of_a_network_whose_calls_are_substituted() -> None:
    network = material(lambda: zoo.Mlp(torch.sigmoid, 10))
    control = Arm(network, None, 0, (20,)).advance(20)
    places = {"/sigmoid": "tanh", **{f"/sigmoid#{number}": "tanh" for number in range(1, 11)}}
    tanh = Arm(network, Prescription(activations=places), 0, (20,)).advance(20)
    assert side_effects(control, tanh) == () and tanh.losses != control.losses
    slow = dataclasses.replace(control, pace=3.0 * control.pace)
    assert side_effects(control, slow) == ("a step takes 3.0 times as long",)
    assert side_effects(dataclasses.replace(control, pace=0.0), slow) == ()
