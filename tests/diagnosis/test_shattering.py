"""Shattered gradients: deep networks whose gradient is noise, and those that only look like it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import photic
from photic.lab.clinic.samples import digits
from tests.zoo import Residual, seeded


def plain(depth: int, gain: float, norm: bool = False) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(64, 64)
        nn.init.normal_(linear.weight, 0.0, gain / 8.0)
        layers += [linear, *([nn.LayerNorm(64)] if norm else []), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def checked(model: nn.Module, rate: float = 0.005) -> photic.Checkup:
    return photic.check(model, digits(0, size=32), F.cross_entropy, torch.optim.SGD(model.parameters(), rate))


@pytest.mark.parametrize(("depth", "gain", "norm"), [(40, 2.0, False), (80, 1.0, True)])
def test_a_deep_chaotic_network_is_named(depth: int, gain: float, norm: bool) -> None:
    checkup = checked(seeded(lambda: plain(depth, gain, norm)))
    finding = checkup.findings[0]
    assert (finding.problem, finding.severity) == ("shattered-gradient", "warning")
    assert checkup.run.neighbours is not None and checkup.run.neighbours < 0.25


@pytest.mark.parametrize(
    "build",
    [
        lambda: plain(40, 1.0),  # at the edge of chaos
        lambda: plain(4, 3.0),  # as chaotic, and shallow
        lambda: Residual(40),
    ],
    ids=["edge-of-chaos", "shallow", "residual"],
)
def test_as_deep_or_as_chaotic_is_not_both(build: object) -> None:
    checkup = checked(seeded(build), 0.05)  # type: ignore[arg-type]
    assert "shattered-gradient" not in [finding.problem for finding in checkup.findings]


def test_one_that_learns_all_the_same_is_left_alone() -> None:
    model = seeded(lambda: plain(25, 2.0))
    checkup = photic.check(model, digits(0, size=32), F.cross_entropy, torch.optim.Adam(model.parameters(), 3e-3))
    assert "shattered-gradient" not in [finding.problem for finding in checkup.findings if finding.severity != "info"]


def test_without_an_optimizer_it_is_information() -> None:
    checkup = photic.check(seeded(lambda: plain(40, 2.0)), [next(iter(digits(0)()))], F.cross_entropy, steps=20)
    assert ("shattered-gradient", "info") in [(finding.problem, finding.severity) for finding in checkup.findings]
