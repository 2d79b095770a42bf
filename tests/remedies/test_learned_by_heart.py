"""A network that learns its batches and nothing of the held-back ones lacks examples; no remedy is tried."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.remedies.treat import HEALTHY, LEARNS, treat
from photic.remedies.trials import judge
from tests.remedies.test_steadiness import CATALOGUE, course, noisy


def test_a_network_that_learns_by_heart_is_left_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 16, 64, generator=draw), torch.randn(8, 16, 1, generator=draw)
    treatment = treat(
        lambda: nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)),
        list(zip(x, y, strict=True)),
        F.mse_loss,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), 3e-3),
        steps=100,
        seeds=(0,),
    )
    assert not treatment.accepted and not treatment.trials
    assert any(HEALTHY in note for note in treatment.record.notes)


def test_what_was_tried_in_vain_on_a_network_that_learns_little_is_shown() -> None:
    draw = torch.Generator().manual_seed(0)
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(24):
        x = torch.randn(64, 4, generator=draw)
        batches.append((x, 0.5 * x[:, :1] + torch.randn(64, 1, generator=draw)))  # a fifth of it can be known
    treatment = treat(
        lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)),
        batches,
        F.mse_loss,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        steps=100,
        workers=1,
        seeds=(0,),
    )
    assert treatment.record.before.healthy and not treatment.accepted
    assert treatment.record.notes[-1].startswith(LEARNS) and not any(HEALTHY in note for note in treatment.record.notes)
    assert treatment.record.runs > 1.0 and {trial.outcome for trial in treatment.trials} >= {"control", "refused"}


class Kept(torch.optim.SGD):
    """Whoever wrote the loop forgot to clear the gradients."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        pass


def test_what_lets_a_network_learn_its_few_batches_by_heart_cures_it() -> None:
    """Labels of noise can be told of the batches that are trained on, and of no others."""
    g = torch.Generator().manual_seed(0)
    noise = [(torch.randn(16, 32, generator=g), torch.randint(0, 4, (16,), generator=g)) for _ in range(10)]

    def wide() -> nn.Module:
        return nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 4))

    def forgetful(model: nn.Module) -> torch.optim.Optimizer:
        return Kept(model.parameters(), lr=0.3)

    treatment = treat(wide, noise, F.cross_entropy, optimizer=forgetful, steps=120, workers=1, seeds=(0,))
    assert treatment.remedy == "clear-gradients", treatment.report()
    (trial,) = [one for one in treatment.trials if one.remedy == "clear-gradients"]
    assert trial.losses[-1] < 0.3 and trial.held_back_loss is not None and trial.held_back_loss > 1.4


class Shut(nn.Module):
    """All that is said of the input is multiplied by a gate that a ReLU holds at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 4))
        self.gate, self.bias = nn.Parameter(torch.tensor(-0.5)), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.gate) * self.body(x) + self.bias


def test_what_opens_a_network_that_then_learns_by_heart_is_a_cure_and_that_is_said() -> None:
    g = torch.Generator().manual_seed(0)
    noise = [(torch.randn(16, 32, generator=g), torch.randint(0, 4, (16,), generator=g)) for _ in range(10)]
    treatment = treat(
        Shut, noise, F.cross_entropy, optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-2), steps=120, workers=1
    )
    assert treatment.record.before.findings[0].problem == "idle-layer"
    (trial,) = [one for one in treatment.trials if one.outcome == "accepted"]
    assert trial.remedy in ("heard-branch", "open-gate") and "only by heart, and lacks examples" in trial.reason
    assert trial.losses[-1] < 0.3 and trial.held_back_loss is not None and trial.held_back_loss > 1.4


def test_by_heart_is_no_cure_beside_what_generalises_nor_where_nothing_can_be_said() -> None:
    flat, learned = noisy([2.3] * 10), noisy([2.3, 1.0, *[0.02] * 8])

    def outcome(untreated: float, treated: float, problems: set[str], *, relief: bool = True) -> str:
        pair = (course(flat, untreated), course(learned, treated), len(flat))
        return judge(CATALOGUE["he"], problems, [pair], relief=relief).outcome

    assert outcome(2.3, 4.0, {"dead-units"}) == "accepted"
    assert outcome(2.3, 4.0, {"dead-units"}, relief=False) == "refused"
    assert outcome(1.0, 4.0, {"dead-units"}) == "refused"  # a dropout holds the training loss up: held back it learns
    assert outcome(2.3, 4.0, {"class-prior-only"}) == "refused"
    assert outcome(2.3, math.nan, {"dead-units"}) == outcome(2.3, math.nan, {"dead-units"}, relief=False) == "refused"
