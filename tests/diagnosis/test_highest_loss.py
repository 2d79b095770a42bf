"""A loss of exactly 0 with no slope: at its highest it is saturated, at its lowest nothing is wrong."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.diagnosis.held import BATCHES, alarms, asked


def body() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 16))


def verdict(made: Tensor, real: Tensor) -> Tensor:
    return 2.0 - 20.0 * (made - real).square().sum(1)


def direct(made: Tensor, real: Tensor) -> Tensor:
    return F.softplus(verdict(made, real)).neg().mean()


def logarithm(made: Tensor, real: Tensor) -> Tensor:
    return torch.log(1.0 - torch.sigmoid(verdict(made, real))).mean()


def steep(made: Tensor, real: Tensor) -> Tensor:
    return F.softplus(-verdict(made, real)).mean()


def hinge(made: Tensor, real: Tensor) -> Tensor:
    return torch.relu(1.0 + verdict(made, real) - 2.0).mean()


def copies() -> list[tuple[Tensor, Tensor]]:
    return [(x, 3.0 * x) for x, _ in BATCHES]


def test_the_loss_of_a_generator_before_a_sure_critic_is_flat_at_its_highest() -> None:
    assert alarms(asked(body(), copies(), direct)) == ["loss-saturation"]
    assert alarms(asked(body(), copies(), logarithm)) == ["loss-saturation"]


def test_the_other_one_has_a_slope_and_a_hinge_that_holds_is_at_its_lowest() -> None:
    assert alarms(asked(body(), copies(), steep)) == []
    assert "loss-saturation" not in alarms(asked(body(), copies(), hinge))
