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


class Coded(nn.Module):
    """An encoder whose code is drawn from a normal, and a decoder; the code's size is priced."""

    def __init__(self, draw: Callable[[Any], Tensor], *, kind: Any = torch.distributions.Normal) -> None:
        super().__init__()
        self.mean, self.deviation, self.decoder = nn.Linear(64, 8), nn.Linear(64, 8), nn.Linear(8, 64)
        self.draw, self.kind = draw, kind

    def forward(self, x: Tensor) -> Any:
        mean, scale = self.mean(x), F.softplus(self.deviation(x) - 3.0)
        drawn = self.draw(self.kind(mean, scale))
        return self.decoder(drawn.clamp(-9.0, 9.0)), mean


def priced(output: Any, target: Tensor) -> Tensor:
    return F.mse_loss(output[0], target) + 1e-3 * output[1].square().mean()


def to_itself() -> list[Any]:
    basis = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) / 2.0
    parts = [torch.randn(64, 4, generator=torch.Generator().manual_seed(seed)) @ basis for seed in range(8)]
    return [(x, x) for x in parts]


@pytest.mark.parametrize(
    "kind", [torch.distributions.Normal, torch.distributions.Laplace, torch.distributions.LogNormal]
)
def test_a_code_that_is_sampled_without_a_path_is_severed(kind: Any) -> None:
    checkup = check(seeded(lambda: Coded(lambda d: d.sample(), kind=kind)), priced, to_itself())
    found = [f for f in checkup.findings if f.problem == "severed-gradient"]
    assert found and found[0].severity == "critical" and "rsample" in found[0].advice
    assert "mean.weight" in found[0].reason
    checkup = check(seeded(lambda: Coded(lambda d: d.rsample(), kind=kind)), priced, to_itself())
    assert "severed-gradient" not in alarms(checkup)


class Acting(nn.Module):
    """An actor whose action is drawn, with its log probability, and a critic that looks at the action."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = nn.Linear(64, 3), nn.Sequential(nn.Linear(67, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Any:
        policy = torch.distributions.Normal(self.actor(x), torch.ones(3))
        action = policy.sample()
        return policy.log_prob(action).sum(1), self.critic(torch.cat((x, action), 1))[:, 0], action


def rewarded(output: Any, target: Tensor) -> Tensor:
    likely, value, action = output
    reward = -(action - target[:, :3]).square().sum(1)
    return F.mse_loss(value, reward) - (likely * (reward - value).detach()).mean()


def test_an_action_whose_log_probability_is_trained_is_not_severed() -> None:
    assert "severed-gradient" not in alarms(check(seeded(Acting), rewarded, to_itself()))


class Sloped(nn.Module):
    """A network whose derivative should follow a cosine; `start` is what it gives at 0."""

    def __init__(self, *, create_graph: bool) -> None:
        super().__init__()
        self.net, self.create_graph = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1)), create_graph

    def forward(self, x: Tensor) -> Any:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=self.create_graph)
        return slope - 3.0 * torch.cos(2.0 * x), self.net(torch.zeros(1, 1))


def residual(output: Any, _: Tensor) -> Tensor:
    return output[0].square().mean() + output[1].square().mean()


def residual_alone(output: Any, _: Tensor) -> Tensor:
    return output[0].square().mean()


def places() -> list[Any]:
    parts = [torch.rand(32, 1, generator=torch.Generator().manual_seed(seed)) for seed in range(8)]
    return [(x, x) for x in parts]


@pytest.mark.parametrize("loss", [residual, residual_alone])
def test_a_residual_whose_derivative_has_no_history_is_severed(loss: Any) -> None:
    checkup = check(seeded(lambda: Sloped(create_graph=False)), loss, places())
    assert alarms(checkup) == ["severed-gradient"] and checkup.findings[0].sites == ("/grad#1",)
    assert "create_graph" in checkup.findings[0].reason
    assert not alarms(check(seeded(lambda: Sloped(create_graph=True)), loss, places()))


class Adversarial(nn.Module):
    """A classifier of what lies a step uphill from its input: the derivative is meant to be a number."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            near = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.net(near).logsumexp(1).sum(), near)
        return self.net(x + 0.05 * slope.sign())


def test_an_adversarial_step_and_a_weight_of_a_term_need_no_history() -> None:
    assert not alarms(check(seeded(Adversarial)))

    def balanced(output: Tensor, target: Tensor) -> Tensor:
        one, other = F.cross_entropy(output, target), output.square().mean()
        if not output.requires_grad:
            return one + other
        slopes = [torch.autograd.grad(term, output, retain_graph=True)[0].norm() for term in (one, other)]
        return one + 0.1 * (slopes[0] / slopes[1]).clamp(0.0, 1.0) * other

    assert not alarms(check(seeded(lambda: zoo.Mlp(torch.relu, depth=2)), balanced))


def ranks(values: Tensor) -> Tensor:
    return values.argsort(0).argsort(0).float()


def rank_correlation(output: Tensor, target: Tensor) -> Tensor:
    mine, theirs = ranks(output) - 15.5, ranks(target[:, :1]) - 15.5
    return 1.0 - (mine * theirs).mean() / theirs.square().mean() + 1e-3 * output.square().mean()


def scored() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 1))


def ranked() -> list[Any]:
    parts = [torch.randn(32, 64, generator=torch.Generator().manual_seed(seed)) for seed in range(96)]
    return [(x, x[:, :8].sum(1, keepdim=True)) for x in parts]


def test_ranks_that_are_most_of_the_loss_are_severed() -> None:
    checkup = check(seeded(scored), rank_correlation, ranked())
    assert alarms(checkup) == ["severed-nondifferentiable"] and checkup.findings[0].sites == ("<loss>/argsort#1",)


def test_a_metric_beside_the_loss_and_a_value_put_in_on_purpose_are_not_severed() -> None:
    def counted(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + (output.argmax(1) != target).float().mean()

    def replaced(output: Tensor, target: Tensor) -> Tensor:
        shown = F.cross_entropy(output, target)
        return 3.0 * shown.detach() + (shown - shown.detach())

    for loss in (counted, replaced):
        assert not alarms(check(seeded(lambda: zoo.Mlp(torch.relu, depth=2)), loss))


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
