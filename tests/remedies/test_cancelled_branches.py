"""A branch that gives all numbers of an example one shift, or one factor, that is taken away again: found, cured, and told from what is heard."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from tests.remedies.test_structure import CATALOGUE, cured, healed
from tests.zoo import seeded


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def choices() -> list[Any]:
    """Which of four: what the first numbers say and what a product of the others says count alike."""
    draw = torch.Generator().manual_seed(5)
    batches: list[Any] = []
    for _ in range(8):
        x = torch.randn(64, 10, generator=draw)
        scores = x[:, :4] + 3.0 * torch.stack((x[:, 5] * x[:, 6], x[:, 7], -x[:, 7], -x[:, 5] * x[:, 6]), 1)
        batches.append((x, scores.argmax(1)))
    return batches


def amounts() -> list[Any]:
    """A pattern of the first numbers times a size that the others give."""
    draw = torch.Generator().manual_seed(6)
    x = torch.randn(512, 8, generator=draw)
    y = torch.sin(2.0 * x[:, :1]) * torch.exp(x[:, 4:5] + 0.5 * x[:, 5:6])
    return [(x[k : k + 64], y[k : k + 64]) for k in range(0, 512, 64)]


class Towers(nn.Module):
    """Scores from some numbers, and a shift of them, or shifts, from the others."""

    def __init__(self, shifts: int) -> None:
        super().__init__()
        self.own = nn.Linear(4, 4)
        self.context = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, shifts))

    def forward(self, x: Tensor) -> Tensor:
        return self.own(x[:, :4]) + self.context(x[:, 4:])


class Sized(nn.Module):
    """Features times a size, and a normalisation before or behind that."""

    def __init__(self, norm: Callable[[Tensor], Tensor], *, behind: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.size = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1), nn.Softplus())
        self.norm, self.behind, self.head = norm, behind, nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, size = self.body(x[:, :4]), self.size(x[:, 4:])
        return self.head(self.norm(h * size) if self.behind else self.norm(h) * size)


def by_hand(h: Tensor) -> Tensor:
    return h / h.pow(2).mean(-1, keepdim=True).sqrt()


def unit_length(h: Tensor) -> Tensor:
    return F.normalize(h, dim=-1)


SICK = {
    "a shift of all scores": ("own-answers", partial(Towers, 1), choices, F.cross_entropy),
    "a size before a quotient": ("heard-scale", partial(Sized, by_hand, behind=True), amounts, F.mse_loss),
    "a size before a unit length": ("heard-scale", partial(Sized, unit_length, behind=True), amounts, F.mse_loss),
}
HEALTHY = {
    "a shift for each": (partial(Towers, 4), choices, F.cross_entropy),
    "a shift under another loss": (partial(Towers, 1), choices, lambda scores, y: F.multi_margin_loss(scores, y) + scores.square().mean()),
    "a size behind the norm": (partial(Sized, by_hand, behind=False), amounts, F.mse_loss),
}  # fmt: skip


@pytest.mark.parametrize("name", SICK)
def test_what_is_taken_away_again_is_found_and_cured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remedy, build, batches, loss = SICK[name]
    found = photic.check(seeded(build), batches(), loss, adam).findings[0]
    assert found.problem == "idle-layer" and "adds up to nothing" in found.reason, found
    treatment = cured(remedy, monkeypatch, build, batches(), loss, optimizer=adam, steps=200)
    assert healed(treatment) and (treatment.patch or treatment.paste)


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_heard_is_left_alone(name: str) -> None:
    build, batches, loss = HEALTHY[name]
    checkup = photic.check(seeded(build), batches(), loss, adam)
    assert "idle-layer" not in [f.problem for f in checkup.findings]
    for remedy in ("own-answers", "heard-scale"):
        assert isinstance(CATALOGUE[remedy].prescribe(Graph.of(checkup.run)), str)


def test_the_value_of_a_state_is_heard_beside_advantages_less_their_mean() -> None:
    class Duel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.value, self.gain = nn.Linear(10, 32), nn.Linear(32, 1), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.body(x))
            gain = self.gain(h)
            return self.value(h) + gain - gain.mean(1, keepdim=True)

    def chosen(values: Tensor, action: Tensor) -> Tensor:
        return F.smooth_l1_loss(values.gather(1, action[:, None])[:, 0], action.float())

    assert photic.check(seeded(Duel), choices(), chosen, adam).healthy


@pytest.mark.parametrize("size", [1.0, 60.0])
def test_a_divisor_of_whatever_size_is_heard(size: float) -> None:
    class Quotient(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.scale = nn.Linear(8, 4), nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return size * self.body(x) / (size * F.softplus(self.scale(x)) + size)

    data = [(x, x[:, :4] / (1.0 + x[:, 4:5].square())) for x, _ in amounts()]
    assert "idle-layer" not in [f.problem for f in photic.check(seeded(Quotient), data, F.mse_loss, adam).findings]
