"""Gradients of neighbouring inputs: closed forms, and what cannot be asked."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from photic.probes.neighbours import NEAR, neighbours
from tests.zoo import seeded


class Waves(nn.Module):
    """sum of a sin(w x + b) over many random waves: the gradient's correlation has a closed form."""

    def __init__(self, deviation: float, inputs: int = 64, waves: int = 4096) -> None:
        super().__init__()
        self.register_buffer("w", torch.randn(waves, inputs) * deviation)
        self.register_buffer("b", torch.rand(waves) * 2 * math.pi)
        self.head = nn.Linear(waves, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sin(x @ self.w.T + self.b))


@pytest.mark.parametrize("product", [0.5, 1.0, 2.0])
def test_the_cosine_of_random_waves_is_that_of_theory(product: float) -> None:
    # Rows of the identity are the square root of 2 apart. For w ~ N(0, s^2) and a distance d in n dimensions
    # E[w w cos(w d)] / E[w w] = exp(-(s d)^2 / 2) (1 - (s d)^2 / n).
    distance = math.sqrt(2.0) * NEAR
    model = seeded(lambda: Waves(product / distance))
    expected = math.exp(-(product**2) / 2) * (1 - product**2 / 64)
    assert neighbours(model, torch.eye(64)) == pytest.approx(expected, abs=0.06)


def test_a_linear_network_has_one_gradient_for_all_inputs_and_dropout_drops_the_same_twice() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.5), nn.Linear(32, 4)))
    assert neighbours(model, torch.randn(16, 8)) == pytest.approx(1.0)


def test_nothing_is_left_behind() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    neighbours(model, torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


class Fixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


@pytest.mark.parametrize(
    ("build", "batch"),
    [
        (lambda: nn.Embedding(5, 3), torch.zeros(8, 4, dtype=torch.long)),
        (lambda: nn.Linear(4, 2), torch.zeros(3, 4)),
        (lambda: nn.Flatten(0), torch.zeros(8, 4)),
        (Fixed, torch.zeros(8, 4)),
        (nn.ReLU, -torch.ones(8, 4)),
        (lambda: nn.Linear(5, 2), torch.zeros(8, 4)),
    ],
    ids=["tokens", "too-few", "not-by-examples", "severed", "all-zero", "raises"],
)
def test_what_cannot_be_asked_is_none(build: Callable[[], nn.Module], batch: Tensor) -> None:
    assert neighbours(build(), batch) is None
