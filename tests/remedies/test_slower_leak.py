"""A state that leaks by a fixed number at each step: its time constant is set to the length of the sequence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.prescription import Prescription
from tests.remedies.test_structure import CATALOGUE

STEPS = 20


class Leaky(nn.Module):
    """A recurrence in continuous time; `form` says how the leak is written."""

    def __init__(self, form: str, leak: float = 0.5) -> None:
        super().__init__()
        self.inward, self.recurrent, self.head = nn.Linear(4, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        self.form, self.leak = form, leak

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 32)
        a, step = self.leak, getattr(self, self.form)
        for t in range(x.shape[1]):
            h = step(h, torch.tanh(self.inward(x[:, t]) + 0.1 * self.recurrent(h)), a)
        return self.head(h)

    def mixed(self, h: Tensor, new: Tensor, a: float) -> Tensor:
        return (1.0 - a) * h + a * new

    def stepped(self, h: Tensor, new: Tensor, a: float) -> Tensor:
        return h + a * (new - h)

    def turned(self, h: Tensor, new: Tensor, a: float) -> Tensor:
        return h + (-h + new) / (1.0 / a)

    def added(self, h: Tensor, new: Tensor, a: float) -> Tensor:
        return h * (1.0 - a) + new


def recall() -> list[tuple[Tensor, Tensor]]:
    """Which of four came first, then noise."""
    made: list[tuple[Tensor, Tensor]] = []
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        y = torch.randint(4, (32,), generator=draw)
        x = 0.3 * torch.randn(32, STEPS, 4, generator=draw)
        x[:, 0] = 3.0 * F.one_hot(y, 4)
        made.append((x, y))
    return made


def prescribed(model: nn.Module) -> Any:
    return CATALOGUE["slower-leak"].prescribe(Graph.of(measure(model, recall()[0], F.cross_entropy)))


@pytest.mark.parametrize("form", ["mixed", "stepped", "turned"])
def test_the_treated_network_is_the_one_with_the_longer_time_constant(form: str) -> None:
    torch.manual_seed(0)
    model, slow = Leaky(form), Leaky(form, 1.0 / STEPS)
    slow.load_state_dict(model.state_dict())
    given = prescribed(model)
    assert isinstance(given, Prescription)
    carry_out(given, model, seed=0)
    x = recall()[0][0]
    torch.testing.assert_close(model(x), slow(x), rtol=1e-4, atol=1e-5)


def test_where_nothing_multiplies_what_is_new_the_state_alone_is_kept() -> None:
    given = prescribed(Leaky("added"))
    assert isinstance(given, Prescription)
    assert set(given.factors.values()) == {(1.0 - 1.0 / STEPS) / 0.5}


@pytest.mark.parametrize("form", ["mixed", "stepped", "turned", "added"])
def test_a_leak_that_is_slow_enough_is_left_as_it_is(form: str) -> None:
    assert isinstance(prescribed(Leaky(form, 1.0 / STEPS)), str)


def test_what_has_no_loop_or_a_learned_leak_is_left_as_it_is() -> None:
    class Learned(Leaky):
        def __init__(self) -> None:
            super().__init__("mixed")
            self.leak = nn.Parameter(torch.tensor(0.5))  # type: ignore[assignment]

    assert isinstance(prescribed(Learned()), str)
    assert isinstance(prescribed(nn.Sequential(nn.Flatten(), nn.Linear(4 * STEPS, 4))), str)


def test_a_state_that_forgets_is_cured() -> None:
    def adam(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=1e-2)

    treatment = photic.treat(lambda: Leaky("mixed"), recall(), F.cross_entropy, optimizer=adam, steps=60, workers=1)
    assert treatment.record.before.findings[0].problem == "vanishing-in-time"
    assert treatment.remedy == "slower-leak", treatment.report()
    assert "more: multiply what enters by" in treatment.paste
