"""Rules along time: on recurrent layers that forget or explode, and on those that keep their gradient."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records.findings import Finding
from tests.zoo import seeded


class Last(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], *, bidirectional: bool = False) -> None:
        super().__init__()
        self.layer = kind(8, 64, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(128 if bidirectional else 64, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


def draw(length: int, *, place: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(8, (64,), generator=generator)
    x = 0.3 * torch.randn(64, length, 8, generator=generator)
    x[torch.arange(64), place, y] += 2.0
    return x, y


def findings(model: nn.Module, length: int) -> dict[str, Finding]:
    run = photic.measure(model, draw(length), F.cross_entropy)
    return {finding.problem: finding for finding in photic.diagnose(run).findings}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_default_layer_forgets_sixty_steps_and_that_is_told(kind: type[nn.RNNBase]) -> None:
    found = findings(seeded(lambda: Last(kind)), 60)["vanishing-in-time"]
    assert found.sites == ("layer",) and found.severity == "info"
    assert found.evidence[0].value < 1e-9
    assert found.where.endswith(".py:24") or ".py:" in found.where


@pytest.mark.parametrize(
    ("kind", "scheme"), [(nn.LSTM, "chrono"), (nn.GRU, "chrono"), (nn.RNN, "orthogonal_recurrence")]
)
@pytest.mark.parametrize("length", [8, 60])
def test_layers_that_keep_their_gradient_are_silent(kind: type[nn.RNNBase], scheme: str, length: int) -> None:
    model = seeded(lambda: Last(kind))
    if length == 60:
        photic.initialise(model, scheme, seed=0, **({"longest": 60} if scheme == "chrono" else {}))
    assert findings(model, length) == {}


def test_it_is_a_warning_where_nothing_is_learned_and_not_where_the_late_steps_suffice() -> None:
    severities = {}
    for place in (0, -1):
        model = seeded(lambda: Last(nn.LSTM))
        batches = [draw(60, place=place, seed=seed) for seed in range(40)]
        checkup = photic.check(
            model,
            lambda b=batches: itertools.cycle(b),
            F.cross_entropy,
            torch.optim.Adam(model.parameters(), 3e-3),
            steps=40,
        )
        severities[place] = {f.problem: f.severity for f in checkup.findings}["vanishing-in-time"]
    assert severities == {0: "warning", -1: "info"}


@pytest.mark.parametrize(("gain", "problem"), [(1.0, None), (1.5, "exploding-in-time")])
def test_recurrent_weights_that_are_too_large_explode(gain: float, problem: str | None) -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.RNN(8, 64, batch_first=True, nonlinearity="relu"), nn.Linear(64, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x)[0][:, -1])

    model = seeded(Linear)
    photic.initialise(model, "identity_recurrence")
    with torch.no_grad():
        model.layer.weight_hh_l0.mul_(gain)
    found = findings(model, 40)
    assert [p for p in found if p.endswith("in-time")] == ([] if problem is None else [problem])
    if problem:
        assert found[problem].evidence[2].value == pytest.approx(gain, rel=0.1)


def test_a_bidirectional_layer_has_its_largest_gradient_at_the_beginning_too() -> None:
    class First(Last):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x)[0][:, 0])

    assert "exploding-in-time" not in findings(seeded(lambda: First(nn.LSTM, bidirectional=True)), 60)
