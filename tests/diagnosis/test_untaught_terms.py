"""Samples without a path, derivatives without history, ranks: what is trained beside them hides that they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests import zoo
from tests.diagnosis.test_unseen_cuts import alarms, check
from tests.zoo import seeded


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


class Looking(nn.Module):
    """An actor that is taught along a path through its critic, which learns from samples besides."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = nn.Linear(64, 3), nn.Sequential(nn.Linear(67, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Any:
        policy = torch.distributions.Normal(self.actor(x), torch.ones(3))
        action = policy.sample()
        values = [self.critic(torch.cat((x, each), 1))[:, 0] for each in (policy.rsample(), action)]
        return *values, action


def looked(output: Any, target: Tensor) -> Tensor:
    hoped, seen, action = output
    return F.mse_loss(seen, -(action - target[:, :3]).square().sum(1)) - 0.1 * hoped.mean()


def test_a_sample_beside_a_path_of_the_same_distribution_is_not_severed() -> None:
    assert "severed-gradient" not in alarms(check(seeded(Looking), looked, to_itself()))


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
        return F.cross_entropy(output, target) + 3.0 * (output.argmax(1) != target).float().mean()

    def replaced(output: Tensor, target: Tensor) -> Tensor:
        shown = F.cross_entropy(output, target)
        return 3.0 * shown.detach() + (shown - shown.detach())

    for loss in (counted, replaced):
        assert not alarms(check(seeded(lambda: zoo.Mlp(torch.relu, depth=2)), loss))
