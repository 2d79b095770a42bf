"""A ReLU that takes inputs which are never positive tells the layers nothing; others are left alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.probes.generators import seeded


class Entered(nn.Module):
    """A network that begins with a ReLU, or that hears its inputs by another way too."""

    def __init__(self, *, beside: bool = False) -> None:
        super().__init__()
        self.relu, self.first, self.head, self.beside = nn.ReLU(), nn.Linear(6, 16), nn.Linear(16, 3), beside
        self.skip = nn.Linear(6, 16)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(self.relu(x))
        return self.head(torch.tanh(hidden + self.skip(x) if self.beside else hidden))


def batches(shift: float) -> list[Any]:
    """Numbers from -3 to 0, plus `shift`, and the class that the largest of the first three tells."""
    with seeded(3):
        x = -3.0 * torch.rand(256, 6)
    return [(part + shift, part[:, :3].argmax(1)) for part in x.split(32)]


def build(**options: bool) -> Entered:
    with seeded(0):
        return Entered(**options)


def found(model: nn.Module, shift: float) -> list[tuple[str, tuple[str, ...]]]:
    made = photic.check(
        model, batches(shift), F.cross_entropy, optimizer=torch.optim.Adam(model.parameters(), 1e-2), steps=60
    )
    return [(finding.problem, finding.sites) for finding in made.findings if finding.severity != "info"]


def test_it_is_found_where_it_stands() -> None:
    assert found(build(), 0.0) == [("dead-units", ("relu",))]


def test_a_network_that_hears_its_inputs_is_left_alone() -> None:
    assert found(build(), 1.5) == []


def test_beside_another_way_the_examples_are_not_said_to_be_alike() -> None:
    assert found(build(beside=True), 0.0) == [
        ("dead-units", ("relu",))
    ]  # that branch is dead, and the network learns by the other


def test_inputs_of_nothing_are_not_the_activations_doing() -> None:
    nothing = [(torch.zeros_like(x), y) for x, y in batches(0.0)]
    model = build()
    made = photic.check(model, nothing, F.cross_entropy, optimizer=torch.optim.Adam(model.parameters(), 1e-2), steps=60)
    assert "dead-units" not in [finding.problem for finding in made.findings]


def test_standardised_inputs_cure_it() -> None:
    treatment = photic.treat(
        build,
        batches(0.0),
        F.cross_entropy,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), 1e-2),
        steps=100,
        seeds=(0,),
    )
    assert treatment.remedy == "standardised-input"
    control, cure = treatment.trials[0], next(trial for trial in treatment.trials if trial.outcome == "accepted")
    assert control.held_back_loss is not None and cure.held_back_loss is not None
    assert cure.held_back_loss < 0.5 * control.held_back_loss
