"""A cure must hold with seeds that it was not judged by, where the untreated training breaks off or its gradient explodes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.remedies.treat import treat
from tests.remedies.lost import BATCHES, adam
from tests.remedies.test_catalogue import CATALOGUE


class Unsteady(nn.Module):
    """Drawn so that some draws cannot be trained whatever is done about the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        self.sick = torch.initial_seed() % 2**31 == 2

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * (math.nan if self.sick and self.training and torch.is_grad_enabled() else 1.0)


def test_what_breaks_off_with_another_seed_is_no_cure_of_a_training_that_breaks_off() -> None:
    def far(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=1e38)

    treatment = treat(Unsteady, BATCHES, F.cross_entropy, optimizer=far, steps=40)
    assert not treatment.accepted
    assert any("with seed 2 the training broke off at step 1" in trial.reason for trial in treatment.trials)


class Growing(nn.Module):
    """Twenty layers drawn three times too large; some draws climb whatever is done about it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(20))
        self.head, self.calls = nn.Linear(16, 4), 0
        self.sick = torch.initial_seed() % 2**31 == 2
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.8)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        self.calls += self.training and torch.is_grad_enabled()
        return self.head(x) * (8.0**self.calls if self.sick else 1.0)


def test_what_climbs_with_another_seed_is_no_cure_of_a_gradient_that_explodes(monkeypatch: pytest.MonkeyPatch) -> None:
    from photic.remedies import choosing as module

    chosen = (CATALOGUE["critical"], CATALOGUE["lsuv"])
    monkeypatch.setattr(module, "remedies_for", lambda problems: chosen)
    monkeypatch.setattr(module, "remedies", lambda: chosen)
    treatment = treat(Growing, BATCHES, F.cross_entropy, optimizer=adam, steps=60, workers=1)
    assert any(f.problem == "exploding-gradient" for f in treatment.record.before.findings)
    assert any(trial.reason.startswith("with seed 2 the training loss climbs") for trial in treatment.trials)
    assert not treatment.accepted
