"""Heads whose answer the loss detaches: on trained layers they are cut off by mistake, with layers of their own they are a goal."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic import treat

TRUNK = 32


def rollouts() -> list[Any]:
    """States, and of each: the action that was taken, its advantage, the return."""
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(640, 8, generator=draw)
    action = torch.randint(4, (640,), generator=draw)
    advantage = torch.where(action == x[:, :4].argmax(1), 1.0, -0.4)
    return [
        (x[k : k + 64], (action[k : k + 64], advantage[k : k + 64], x[k : k + 64, :4].amax(1)))
        for k in range(0, 640, 64)
    ]


class ActorCritic(nn.Module):
    """A policy and a value, on one trunk or on two."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(8, TRUNK), nn.Tanh(), nn.Linear(TRUNK, TRUNK), nn.Tanh())
        self.own = None if shared else nn.Sequential(nn.Linear(8, TRUNK), nn.Tanh())
        self.policy, self.value = nn.Linear(TRUNK, 4), nn.Linear(TRUNK, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        trunk = self.trunk(x)
        return self.policy(trunk if self.own is None else self.own(x)).log_softmax(-1), self.value(trunk)[:, 0]


def clipped(output: Any, target: Any, *, detached: bool = True) -> Tensor:
    chances, value = output
    action, advantage, wanted = target
    chosen = chances.gather(1, action[:, None])[:, 0]
    ratio = ((chosen.detach() if detached else chosen) + 1.386).exp()
    surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    return F.mse_loss(value, wanted) - surrogate.mean() + 1.0


def whole(output: Any, target: Any) -> Tensor:
    return clipped(output, target, detached=False)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


def told(model: nn.Module, loss: Any, optimizer: Any = adam) -> list[tuple[str, tuple[str, ...]]]:
    found = photic.check(model, rollouts(), loss, optimizer).findings
    return [(finding.problem, finding.sites) for finding in found if finding.severity != "info"]


def test_a_policy_that_the_loss_detaches_is_severed() -> None:
    assert told(ActorCritic(shared=True), clipped) == [("severed-gradient", ("<loss>/detach#1",))]


@pytest.mark.parametrize("shared", [True, False])
def test_a_policy_that_is_trained_is_not(shared: bool) -> None:
    assert not told(ActorCritic(shared=shared), whole)


def test_what_has_layers_of_its_own_or_is_not_held_may_be_a_goal() -> None:
    assert not told(ActorCritic(shared=False), clipped)
    held = ActorCritic(shared=True)
    others = [*held.trunk.parameters(), *held.value.parameters()]
    assert ("severed-gradient", ("<loss>/detach#1",)) not in told(held, clipped, torch.optim.Adam(others, 1e-2))


def test_the_detach_of_the_loss_is_removed() -> None:
    treatment = treat(
        lambda: ActorCritic(shared=True), rollouts(), clipped, optimizer=adam, steps=100, workers=1, seeds=(0,)
    )
    assert treatment.remedy == "reattach", treatment.report()
    model, batches, loss, optimizer = treatment.setup()
    x, targets = next(iter(batches()))
    loss(model(x), targets).backward()  # type: ignore[misc]
    assert float(model.policy.weight.grad.norm()) > 0.0  # type: ignore[union-attr]
    optimizer.zero_grad()
