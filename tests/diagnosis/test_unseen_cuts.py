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


class Unweighed(Doubled):
    """Its backward has no gradient for the weight."""

    @staticmethod
    def backward(ctx: Any, *arrived: Any) -> Any:
        x, weight = ctx.saved_tensors
        return (arrived[0] * (1.0 - torch.tanh(x @ weight) ** 2)) @ weight.t(), None


class Twice(Functional):
    """Two of them above each other, each with a weight of its own."""

    def __init__(self, function: type[Doubled]) -> None:
        super().__init__(function)
        self.second = nn.Parameter(torch.randn(32, 32) / 6.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.function.apply(torch.relu(self.below(x)), self.weight)
        return self.head(self.function.apply(h, self.second))


def test_a_backward_without_the_gradient_of_its_weight_severs() -> None:
    found = check(seeded(lambda: Twice(Unweighed)))
    assert (
        alarms(found) == ["severed-gradient"]
        and "the weights that it is given: weight and second" in found.findings[0].reason
    )
    assert not alarms(check(seeded(lambda: Twice(DoubledWhole))))
    frozen = seeded(lambda: Twice(Unweighed))
    for parameter in (frozen.weight, frozen.second):
        parameter.requires_grad_(False)
    assert not alarms(check(frozen))


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


class Written(nn.Module):
    """A network makes the weights of a layer, which are written into it or handed to it."""

    def __init__(self, hand: Callable[[nn.Linear, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.maker, self.layer = nn.Linear(4, 64 * 10), nn.Linear(64, 10)
        self.hand = hand

    def forward(self, x: Tensor) -> Tensor:
        return self.hand(self.layer, self.maker(x[0, :4]).view(10, 64) / 8.0, x)


def by_data(layer: nn.Linear, made: Tensor, x: Tensor) -> Tensor:
    layer.weight.data = made.data
    return layer(x)


def by_copy(layer: nn.Linear, made: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        layer.weight.copy_(made)
    return layer(x)


def by_copy_of_data(layer: nn.Linear, made: Tensor, x: Tensor) -> Tensor:
    layer.weight.data.copy_(made.detach())
    return layer(x)


def by_call(layer: nn.Linear, made: Tensor, x: Tensor) -> Tensor:
    return F.linear(x, made, layer.bias)


@pytest.mark.parametrize("hand", [by_data, by_copy, by_copy_of_data])
def test_weights_that_are_made_and_written_into_a_layer_are_severed(hand: Any) -> None:
    found = check(seeded(lambda: Written(hand))).findings
    assert found and found[0].problem == "severed-gradient" and "maker.weight" in found[0].reason


def limited(layer: nn.Linear, made: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        layer.weight.data = layer.weight.data * layer.weight.norm().clamp(max=3.0) / layer.weight.norm()
        layer.bias.copy_(x.mean(0)[:10])
    return layer(x) + x @ made.t()


@pytest.mark.parametrize("hand", [by_call, limited])
def test_weights_that_are_handed_over_or_limited_are_not_severed(hand: Any) -> None:
    assert "severed-gradient" not in alarms(check(seeded(lambda: Written(hand))))


class Enlarged(nn.Module):
    """Maps that are made larger between two convolutions."""

    def __init__(self, enlarge: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.down, self.up, self.enlarge = (
            nn.Conv2d(1, 3, 3, padding=1, stride=2),
            nn.Conv2d(3, 1, 3, padding=1),
            enlarge,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.enlarge(torch.relu(self.down(x.view(-1, 1, 8, 8))))).flatten(1)


def outside(code: Tensor) -> Tensor:
    return torch.from_numpy(code.detach().numpy().repeat(2, 2).repeat(2, 3))


def images() -> list[Any]:
    parts = [torch.rand(32, 64, generator=torch.Generator().manual_seed(seed)) for seed in range(16)]
    return [(x, x.view(-1, 8, 8).roll(1, 2).flatten(1) * 2.0 - 1.0) for x in parts]


def test_maps_that_are_enlarged_outside_torch_are_severed() -> None:
    found = check(seeded(lambda: Enlarged(outside)), F.mse_loss, images()).findings
    assert [f.problem for f in found if f.severity != "info"] == ["severed-gradient"]
    assert "down.weight" in found[0].reason and "left torch" in found[0].reason
    inside = seeded(lambda: Enlarged(lambda code: F.interpolate(code, scale_factor=2.0)))
    assert "severed-gradient" not in alarms(check(inside, F.mse_loss, images()))
