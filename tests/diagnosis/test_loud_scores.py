"""Scores that one number makes thousands of times as large: sure and wrong from the first step on."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic import treat
from tests.diagnosis.held import classes


class Scaled(nn.Module):
    """Two layers, whose scores are multiplied, divided or multiplied by the exponential of a trained number."""

    def __init__(self, factor: float, how: str = "mul", *, normed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        self.how, self.factor = how, factor
        self.norm = nn.LayerNorm(4) if normed else nn.Identity()
        self.logit = nn.Parameter(torch.tensor(math.log(factor))) if how == "exp" else None

    def forward(self, x: Tensor) -> Tensor:
        scores = self.body(x)
        if self.logit is not None:
            return self.norm(self.logit.exp() * scores)
        return self.norm(scores * self.factor if self.how == "mul" else scores / (1.0 / self.factor))


class Contrast(nn.Module):
    """Codes of rows and of their classes, compared by their cosines over a temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows, self.others, self.temperature = nn.Linear(16, 8), nn.Linear(16, 8), temperature

    def forward(self, x: Tensor) -> Tensor:
        one, other = F.normalize(self.rows(x), dim=-1), F.normalize(self.others(x.roll(1, 1)), dim=-1)
        return one @ other.T / self.temperature


def matched(scores: Tensor, _: Tensor) -> Tensor:
    return F.cross_entropy(scores, torch.arange(len(scores)))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 3e-3)


def told(model: nn.Module, loss: Any = F.cross_entropy) -> list[tuple[str, tuple[str, ...]]]:
    found = photic.check(model, classes(), loss, adam).findings
    return [(finding.problem, finding.sites) for finding in found if finding.severity != "info"]


@pytest.mark.parametrize(("how", "site"), [("mul", "/mul#1"), ("div", "/div#1"), ("exp", "/mul#1")])
def test_a_factor_of_ten_thousand_on_the_scores_is_named(how: str, site: str) -> None:
    assert told(Scaled(1e4, how)) == [("weights-too-large", (site,))]


def test_a_temperature_of_a_ten_thousandth_is_named() -> None:
    (found,) = told(Contrast(1e-4), matched)
    assert found[0] == "weights-too-large" and found[1][0].startswith("/div#")


@pytest.mark.parametrize("model", [Scaled(1.0), Scaled(5.0), Scaled(14.0, "exp"), Scaled(1e4, normed=True)])
def test_scores_of_a_usual_size_are_not(model: nn.Module) -> None:
    assert not told(model)


def test_the_temperature_of_clip_is_not() -> None:
    assert not told(Contrast(0.07), matched)


@pytest.mark.parametrize(
    ("build", "loss"), [(lambda: Scaled(1e4, "exp"), F.cross_entropy), (lambda: Contrast(1e-4), matched)]
)
def test_scores_of_unit_size_cure(build: Any, loss: Any) -> None:
    treatment = treat(build, classes(), loss, optimizer=adam, steps=100, workers=1, seeds=(0,))
    assert treatment.remedy == "quiet-scores", treatment.report()
    inputs, _ = next(iter(treatment.setup().batches()))
    assert float(treatment.setup().model(inputs).detach().square().mean().sqrt()) == pytest.approx(1.0, rel=0.2)
