"""Ways that are cut without a word: rounded weights, a backward that returns None, places taken for values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records.findings import Checkup
from tests import zoo
from tests.zoo import seeded


def check(model: nn.Module, loss: Any = F.cross_entropy, batches: Any = None) -> Checkup:
    given = batches or [zoo.vectors(seed) for seed in range(4)]
    return photic.check(model, given, loss, lambda module: torch.optim.Adam(module.parameters(), 1e-2))


def alarms(checkup: Checkup) -> list[str]:
    return [f.problem for f in checkup.findings if f.severity != "info"]


class Weighted(nn.Module):
    """Three layers whose weights go through a function before they are used."""

    def __init__(self, weights: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in ((64, 32), (32, 32), (32, 10)))
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self.layers):
            x = F.linear(torch.relu(x) if place else x, self.weights(layer.weight), layer.bias)
        return x


SIGNED: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": lambda w: torch.sign(w) * w.abs().mean().detach(),
    "rounded": lambda w: torch.round(8.0 * w) / 8.0,
}


@pytest.mark.parametrize("weights", SIGNED.values(), ids=SIGNED.keys())
def test_weights_that_are_rounded_without_a_way_around_are_severed(weights: Callable[[Tensor], Tensor]) -> None:
    checkup = check(seeded(lambda: Weighted(weights)))
    assert alarms(checkup) == ["severed-nondifferentiable"]
    assert "0.weight" in checkup.findings[0].reason and "exactly 0" in checkup.findings[0].reason


def test_weights_with_a_way_around_their_rounding_are_none() -> None:
    assert not alarms(check(seeded(lambda: Weighted(lambda w: w + (torch.round(8.0 * w) / 8.0 - w).detach()))))


def _accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.softmax(1).round()[torch.arange(len(target)), target] - 1.0).square().mean()


def test_a_prediction_that_the_loss_rounds_is_severed() -> None:
    checkup = check(seeded(lambda: zoo.Mlp(torch.relu, depth=2)), _accuracy)
    assert alarms(checkup)[:1] == ["severed-nondifferentiable"]
    assert checkup.findings[0].sites == ("<loss>/round#1",)


def test_a_rounding_beside_the_loss_is_none() -> None:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + 0.0 * output.round().mean()

    assert not alarms(check(seeded(lambda: zoo.Mlp(torch.relu, depth=2)), loss))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.tanh(x @ weight)

    @staticmethod
    def backward(ctx: Any, *arrived: Any) -> Any:
        x, weight = ctx.saved_tensors
        inner = arrived[0] * (1.0 - torch.tanh(x @ weight) ** 2)
        return None, x.t() @ inner


class DoubledWhole(Doubled):
    @staticmethod
    def backward(ctx: Any, *arrived: Any) -> Any:
        x, weight = ctx.saved_tensors
        inner = arrived[0] * (1.0 - torch.tanh(x @ weight) ** 2)
        return inner @ weight.t(), x.t() @ inner


class Functional(nn.Module):
    def __init__(self, function: type[Doubled]) -> None:
        super().__init__()
        self.below, self.weight, self.head = (
            nn.Linear(64, 32),
            nn.Parameter(torch.randn(32, 32) / 6.0),
            nn.Linear(32, 10),
        )
        self.function: Any = function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function.apply(torch.relu(self.below(x)), self.weight))


def test_a_backward_that_returns_none_severs() -> None:
    checkup = check(seeded(lambda: Functional(Doubled)))
    assert alarms(checkup) == ["severed-gradient"] and "below.weight" in checkup.findings[0].reason
    assert checkup.findings[0].sites == ("/Doubled#1",)


def test_a_whole_backward_and_one_above_frozen_layers_are_none() -> None:
    assert not alarms(check(seeded(lambda: Functional(DoubledWhole))))
    model = seeded(lambda: Functional(Doubled))
    model.below.requires_grad_(False)
    assert "severed-gradient" not in alarms(check(model))


class Spoken(nn.Module):
    """A word is chosen by its score and looked up; `values` uses the scores too."""

    def __init__(self, *, values: bool) -> None:
        super().__init__()
        self.speaker, self.table, self.head = nn.Linear(64, 12), nn.Embedding(12, 16), nn.Linear(16, 10)
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        value, place = self.speaker(x).log_softmax(1).max(1)
        row = self.table(place)
        return self.head(row * value.exp()[:, None] if self.values else row)


def test_a_place_that_max_gives_beside_its_value_is_severed() -> None:
    checkup = check(seeded(lambda: Spoken(values=False)))
    assert alarms(checkup) == ["severed-nondifferentiable"] and checkup.findings[0].sites == ("/max#1",)
    assert not {"severed-nondifferentiable", "severed-gradient"} & set(
        alarms(check(seeded(lambda: Spoken(values=True))))
    )
