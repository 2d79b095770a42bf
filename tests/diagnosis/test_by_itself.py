"""Numbers divided by themselves, or less themselves: nothing of them is left, and no gradient comes back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import treat
from tests.diagnosis.held import asked, classes


class Routed(nn.Module):
    """Experts, of which a router chooses the best `top`; their shares are divided by what `total` makes of them."""

    def __init__(self, top: int, total: Any, *, through: Any = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.router, self.experts = nn.Linear(16, 6), nn.Linear(16, 6 * 4)
        self.top, self.total, self.through = top, total, through

    def forward(self, x: Tensor) -> Tensor:
        share, chosen = self.router(x).softmax(-1).topk(self.top, -1)
        share = share / self.total(share)
        answers = self.experts(x).view(-1, 6, 4).gather(1, chosen[..., None].expand(-1, -1, 4))
        return (share[..., None] * answers).sum(1)


def summed(share: Tensor) -> Tensor:
    return share.sum(-1, keepdim=True)


def kept_from_zero(share: Tensor) -> Tensor:
    return share.sum(-1, keepdim=True).clamp_min(1e-9)


def length(share: Tensor) -> Tensor:
    return share.norm(dim=-1, keepdim=True).expand_as(share)


def itself(share: Tensor) -> Tensor:
    return torch.ones_like(share)


class Grouped(nn.Module):
    """Two layers with a group normalisation between them, and a way past it."""

    def __init__(self, groups: int, *, past: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.below, self.norm, self.above, self.past = (
            nn.Linear(16, 32),
            nn.GroupNorm(groups, 32),
            nn.Linear(32, 4),
            past,
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.below(x).relu()
        return self.above(self.norm(h) + h if self.past else self.norm(h))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def told(model: nn.Module) -> dict[str, tuple[str, ...]]:
    found = asked(model, steps=20).diagnosis.findings
    return {finding.problem: finding.sites for finding in found if finding.severity != "info"}


@pytest.mark.parametrize("total", [summed, kept_from_zero, length])
def test_one_share_divided_by_itself_keeps_the_gradient_from_the_router(total: Any) -> None:
    assert told(Routed(1, total)) == {"severed-gradient": ("/div#1",)}


def test_an_epsilon_is_not_blamed_for_a_gradient_that_is_rounding() -> None:
    """Experts stand beside a way past them, and the router's gradient is 1e-10: Adam's epsilon takes its steps."""

    class Past(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.routed, self.past = Routed(1, summed), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.past(x) + 0.01 * self.routed(x)

    assert told(Past()) == {"severed-gradient": ("routed/div#1",)}


@pytest.mark.parametrize(("top", "total"), [(2, summed), (2, length), (1, itself)])
def test_shares_of_several_or_whole_ones_are_no_fault(top: int, total: Any) -> None:
    assert not told(Routed(top, total))


def test_groups_of_one_number_leave_nothing_though_float32_rounds() -> None:
    assert told(Grouped(32)) == {"class-prior-only": ("norm",)}


@pytest.mark.parametrize(("groups", "past"), [(4, False), (16, False), (32, True)])
def test_groups_of_several_numbers_and_a_way_past_one_tell_examples_apart(groups: int, past: bool) -> None:
    assert not told(Grouped(groups, past=past))


@pytest.mark.parametrize(
    ("build", "remedy"), [(lambda: Routed(1, summed), "kept-shares"), (lambda: Grouped(32), "left-out")]
)
def test_both_are_cured(build: Any, remedy: str) -> None:
    treatment = treat(build, classes(), F.cross_entropy, optimizer=adam, steps=100, workers=1, seeds=(0,))
    assert treatment.remedy == remedy
    control, cured = treatment.trials[0], next(t for t in treatment.trials if t.remedy == remedy)
    assert cured.held_back_loss < 0.8 * control.held_back_loss  # type: ignore[operator]


def test_the_division_is_not_left_out_where_it_says_something() -> None:
    treatment = treat(
        lambda: Routed(2, summed), classes(), F.cross_entropy, optimizer=adam, steps=100, workers=1, seeds=(0,)
    )
    assert not treatment.accepted and not any(trial.remedy == "kept-shares" for trial in treatment.trials)
