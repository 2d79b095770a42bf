"""How much a loss pulls at a class goes the wrong way round with how often it comes, in whatever way the loss is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.class_weights import pull_along_counts
from tests.diagnosis.held import BATCHES, alarms, asked

COUNTS = (64, 16, 4)


def rows() -> Tensor:
    return torch.cat([torch.full((count,), kind) for kind, count in enumerate(COUNTS)])


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.7, 1.0])
def test_a_weight_that_is_a_power_of_the_count_has_that_power(power: float) -> None:
    scores = torch.zeros(len(rows()), 3, requires_grad=True)
    weight = torch.tensor(COUNTS, dtype=torch.float32) ** power
    (gradient,) = torch.autograd.grad(F.cross_entropy(scores, rows(), weight=weight), scores)
    found = pull_along_counts(gradient, rows())
    assert found is not None
    assert found == pytest.approx((power, power / abs(power)), abs=1e-4)


def test_nothing_is_told_of_equal_weights_of_equal_counts_and_of_numbers() -> None:
    scores = torch.zeros(len(rows()), 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(scores, rows()), scores)
    assert pull_along_counts(gradient, rows()) is None
    assert pull_along_counts(torch.randn(12, 3), torch.arange(12) % 3) is None
    assert pull_along_counts(torch.randn(12, 3), torch.randn(12)) is None
    assert pull_along_counts(torch.randn(12, 3), torch.ones(12, 3, dtype=torch.long)) is None


def focal(share: float, *, softened: float = 2.0) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(scores: Tensor, target: Tensor) -> Tensor:
        logarithm = scores.log_softmax(1).gather(1, target[:, None])[:, 0]
        weight = torch.where(target == 1, share, 1.0 - share)
        return (weight * (1.0 - logarithm.exp()) ** softened * -logarithm).mean()

    return loss


def seldom() -> list[tuple[Tensor, Tensor]]:
    return [(x, (x[:, 0] > 1.4).long()) for x, _ in BATCHES]


def body() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))


def test_a_focal_loss_that_weighs_the_frequent_class_is_named() -> None:
    assert alarms(asked(body(), seldom(), focal(0.03))) == ["class-prior-only"]


def test_one_that_weighs_both_alike_or_the_seldom_one_is_not() -> None:
    for share in (0.5, 0.75, 0.97):
        assert alarms(asked(body(), seldom(), focal(share))) == []


def test_a_prior_in_the_last_bias_is_no_weight() -> None:
    model = body()
    with torch.no_grad():
        model[2].bias.copy_(torch.tensor([2.0, -2.0]))  # pyright: ignore
    assert alarms(asked(model, seldom(), focal(0.5))) == []
