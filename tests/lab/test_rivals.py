"""The rules of other tools: each fires on what it was written for, and the course they see is that of a plain loop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from photic.checkups.setup import Setup, endless
from photic.checkups.training import train
from photic.cli.main import run
from photic.lab.clinic.case import cases
from photic.lab.clinic.samples import digits
from photic.lab.rivals import autotrainer, deepchecker, deepdiagnosis, sagemaker
from photic.lab.rivals.comparison import TOOLS, compare, tally
from photic.lab.rivals.course import Course, course, per_unit
from photic.records.vocabulary import PROBLEMS
from tests.zoo import seeded

CASES = {case.name: case for case in cases()}


def mlp(activation: type[nn.Module], depth: int = 3, gain: float = 1.0, rate: float = 0.05) -> Setup:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(depth):
            linear = nn.Linear(64, 64)
            nn.init.normal_(linear.weight, 0.0, gain / 8.0)
            layers += [linear, activation()]
        return nn.Sequential(*layers, nn.Linear(64, 10))

    model = seeded(build)
    return Setup(model, digits(0), F.cross_entropy, torch.optim.SGD(model.parameters(), rate))


def test_the_course_is_a_plain_loop_and_accuracy_goes_by_epochs() -> None:
    seen, setup = course(mlp(nn.Tanh), 60), mlp(nn.Tanh)
    assert seen.losses == train(setup, endless(setup.batches), 60)
    batches = sum(1 for _ in setup.batches())
    assert len(seen.accuracy) == 60 // batches and seen.accuracy[-1] > 0.5
    assert [moment.step for moment in seen.moments] == [*range(10), 10, 20, 30, 40, 50]


def test_channels_are_the_units_of_a_convolution() -> None:
    assert per_unit(torch.zeros(2, 3, 4, 5)).shape == (40, 3)
    assert per_unit(torch.zeros(2, 7, 3)).shape == (14, 3)


@pytest.mark.parametrize(
    ("setup", "judge", "expected"),
    [
        (lambda: mlp(nn.Sigmoid, 12), sagemaker.judge, "VanishingGradient"),
        (lambda: mlp(nn.Sigmoid, 12), autotrainer.judge, "vanish"),
        (lambda: mlp(nn.Sigmoid, 12), deepdiagnosis.judge, "vanishing gradient"),
        (lambda: mlp(nn.Sigmoid, 12), deepchecker.judge, "vanishing gradient"),
        (lambda: mlp(nn.Tanh, gain=6000.0), sagemaker.judge, "SaturatedActivation"),
        (lambda: mlp(nn.Tanh, gain=60.0), deepdiagnosis.judge, "saturated activation"),
        (lambda: mlp(nn.Tanh, gain=60.0), deepchecker.judge, "saturated layer"),
        (lambda: mlp(nn.ReLU, gain=1.4, rate=1e30), sagemaker.judge, "ExplodingTensor"),
        (lambda: mlp(nn.ReLU, gain=1.4, rate=1e30), autotrainer.judge, "explode"),
        (lambda: mlp(nn.ReLU, gain=1.4, rate=1e30), deepdiagnosis.judge, "numerical error"),
        (lambda: mlp(nn.ReLU, gain=1.4, rate=1e-9), deepchecker.judge, "untrained or slow parameters"),
        (lambda: mlp(nn.ReLU, gain=1.4, rate=1e-9), deepdiagnosis.judge, "learning rate"),
        (lambda: mlp(nn.ReLU, gain=1.4, rate=1e-9), autotrainer.judge, "not_converge"),
    ],
)  # fmt: skip
def test_each_rule_fires_on_what_it_was_written_for(setup: object, judge: object, expected: str) -> None:
    found = judge(course(setup(), 90))  # type: ignore[operator]
    assert expected in found


def test_a_network_that_learns_is_no_vanishing_or_dead_one_to_any() -> None:
    seen = course(mlp(nn.ReLU, gain=1.4), 90)
    assert autotrainer.judge(seen) == set()
    assert deepdiagnosis.judge(seen) == set()
    assert not sagemaker.judge(seen) & {"VanishingGradient", "DeadRelu", "ExplodingTensor", "AllZero"}
    assert not deepchecker.judge(seen) & {"vanishing gradient", "dead layer", "loss is not finite"}


def test_what_has_no_accuracy_is_not_asked() -> None:
    assert autotrainer.judge(Course(losses=[1.0, 0.5], accuracy=[], steps=2)) is None


def test_every_rule_speaks_of_known_problems() -> None:
    assert {problem for _, names in TOOLS.values() for said in names.values() for problem in said} <= set(PROBLEMS)


def test_tallies_count_what_applies() -> None:
    verdicts = [v for name in ("sigmoid-10-digits", "sigmoid-10-digits-cured") for v in compare(CASES[name])]
    ours = tally(verdicts, "AUTOTRAINER", "tuning")
    assert (ours.sick, ours.detected, ours.named, ours.healthy) == (1, 1, 1, 1)


@pytest.mark.slow
def test_the_command_prints_all_tools(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "rivals.png"
    assert (
        run(["clinic", "--only", "sigmoid-8-circles", "--rivals", "--processes", "1", "--json", "--plot", str(picture)])
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert {row["tool"] for row in said["tallies"]} == {"photic", *TOOLS}
    assert picture.stat().st_size > 10_000
