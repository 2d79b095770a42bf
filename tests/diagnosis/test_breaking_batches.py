"""Trainings that break at a batch, where nothing shows it: nan that is hidden, and a likelihood that refuses it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from tests import zoo
from tests.diagnosis.test_unseen_cuts import alarms, check
from tests.diagnosis.test_untaught_terms import scored
from tests.zoo import seeded


class Masked(nn.Module):
    """Attention over six members of which some are there; a bag may be empty, and what that gives is hidden."""

    def __init__(self, absent: float, *, shared: bool = False) -> None:
        super().__init__()
        self.score, self.value, self.head, self.absent = nn.Linear(8, 1), nn.Linear(8, 16), nn.Linear(16, 2), absent
        self.member = nn.Linear(8, 8) if shared else nn.Identity()

    def forward(self, bag: Tensor) -> Tensor:
        there, bag = bag[..., 0] > 0.0, self.member(bag)
        scores = self.score(bag).squeeze(-1) + torch.zeros(there.shape).masked_fill(~there, self.absent)
        weights = torch.nan_to_num(scores.softmax(-1)) * there
        return self.head(torch.einsum("bm,bmh->bh", weights, torch.tanh(self.value(bag))))


def bags(empty: int = 5) -> list[Any]:
    """Return batches of bags; in one there is a bag without members."""
    made: list[Any] = []
    for seed in range(40):
        draw = torch.Generator().manual_seed(seed)
        bag = torch.randn(32, 6, 8, generator=draw)
        bag[..., 0] = (torch.rand(32, 6, generator=draw) < 0.7).float()
        bag[:, 0, 0] = 1.0
        if seed == empty:
            bag[3, :, 0] = 0.0
        made.append((bag, (bag[:, 0, 1] > 0.0).long()))
    return made


def test_the_batch_that_breaks_a_training_tells_the_operation() -> None:
    found = check(seeded(lambda: Masked(-float("inf"))), F.cross_entropy, bags()).findings
    assert [f.problem for f in found] == ["non-finite"] and found[0].sites == ("/softmax#1",)
    assert "The batch of step 45" in found[0].reason  # its weights are nan, the loss is not: it is met once more
    shared = check(seeded(lambda: Masked(-float("inf"), shared=True)), F.cross_entropy, bags()).findings
    assert [f.problem for f in shared] == ["non-finite"] and shared[0].sites == ("/softmax#1",)
    assert "The batch of step 5" in shared[0].reason
    assert not alarms(check(seeded(lambda: Masked(-1e4)), F.cross_entropy, bags()))


def test_weights_that_break_by_themselves_are_read_as_they_are_right_before() -> None:
    model, batches = seeded(lambda: zoo.Mlp(torch.relu, depth=2)), [zoo.vectors(seed) for seed in range(4)]

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + output.pow(4).mean()

    run = photic.check(model, batches, loss, lambda module: torch.optim.SGD(module.parameters(), 1e3)).run
    assert run.broke is not None and run.broke_trained and 0 < run.broke.step <= 3
    still = photic.check(model, batches, loss, lambda module: torch.optim.SGD(module.parameters(), 1e-6)).run
    assert still.broke is None and not still.broke_trained


def likelihood(output: Tensor, target: Tensor) -> Tensor:
    policy = torch.distributions.Normal(output[:, :1], torch.ones(1))
    return -policy.log_prob(torch.atanh(target)).mean()


def test_a_likelihood_that_refuses_nan_does_not_hide_where_it_comes_from() -> None:
    x = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    for edge in (1.0, 0.99):
        checkup = check(seeded(scored), likelihood, [(x, x[:, :1].clamp(-edge, edge))])
        found = [f for f in checkup.findings if f.problem == "non-finite"]
        assert bool(found) == (edge == 1.0)
        if found:
            assert "from outside the network" in found[0].reason and found[0].sites == ("<loss>/sub#1",)


def test_an_error_after_whole_losses_is_the_users() -> None:
    seen: list[int] = []

    def loss(output: Tensor, target: Tensor) -> Tensor:
        seen.append(1)
        if len(seen) > 5:
            raise ValueError("enough")
        return F.cross_entropy(output, target)

    with pytest.raises(ValueError, match="enough"):
        check(seeded(lambda: zoo.Mlp(torch.relu, depth=2)), loss)


class Rising(nn.Module):
    """A number that rises by about 0.07 a step under a root of what is left of 1, beside a layer with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop, self.number = nn.Linear(8, 2), nn.Dropout(0.3), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.drop(x)) + torch.sqrt(1.0 - self.number) - self.number


def test_the_steps_up_to_the_break_are_trained_again_as_they_were() -> None:
    torch.manual_seed(0)
    batches = [torch.randn(16, 8) for _ in range(40)]

    def loss(output: Tensor, _: Tensor) -> Tensor:
        return output.mean() + 0.1 * output.square().mean()

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), 0.03, momentum=0.5)

    run = photic.check(seeded(Rising), [(x, x) for x in batches], loss, optimizer, steps=40).run
    broke = run.broke
    assert broke is not None and run.broke_trained and broke.step > 10
    twin = seeded(Rising)
    plain, losses = optimizer(twin), []
    with torch.random.fork_rng():
        torch.manual_seed(0)  # a check's own
        for step, x in enumerate(batches[: broke.step + 1]):
            weights = [float(p.detach().double().square().mean().sqrt()) for p in twin.parameters()]
            plain.zero_grad()
            value = loss(twin(x), x)
            value.backward()
            plain.step()
            losses.append(float(value.detach()))
            assert step < broke.step or not all(torch.isfinite(p).all() for p in twin.parameters())
    assert losses == pytest.approx(run.losses[: len(losses)], rel=1e-5, nan_ok=True)
    assert [reading.weight.rms for reading in broke.parameters] == pytest.approx(weights, rel=1e-5)
