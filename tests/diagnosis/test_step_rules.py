"""Rules on the arithmetic and the size of steps: underflow, rounding, epsilon, stalled and diverging training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from tests.diagnosis.test_data_rules import adam, classes, found, mlp, sgd


class Cast(nn.Module):
    """A network in a narrow type between float32 input and output."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.to(self.dtype)).float()


def tiny(factor: float) -> Any:
    return lambda output, target: factor * F.cross_entropy(output, target)


@pytest.mark.parametrize(
    ("dtype", "factor", "sick"),
    [(torch.float16, 2e-6, True), (torch.float16, 1.0, False), (torch.bfloat16, 2e-6, False)],
)
def test_gradients_below_the_smallest_half_underflow(dtype: torch.dtype, factor: float, sick: bool) -> None:
    findings = found(Cast(mlp(16, 4), dtype), classes(0), tiny(factor), sgd(0.1 / factor))
    assert [f.problem for f in findings][:1] == (["gradient-underflow"] if sick else [])


def test_small_gradients_in_float32_do_not_underflow() -> None:
    assert found(mlp(16, 4), classes(0), tiny(1e-12), sgd(1e11)) == []


@pytest.mark.parametrize(("rate", "sick"), [(1e-5, True), (1e-2, False)])
def test_steps_that_bfloat16_rounds_away_are_named(rate: float, sick: bool) -> None:
    findings = found(Cast(mlp(16, 4), torch.bfloat16), classes(0), F.cross_entropy, adam(rate))
    assert [f.problem for f in findings] == (["rounding-frozen"] if sick else [])


@pytest.mark.parametrize(
    ("dtype", "eps", "sick"), [(torch.float16, 1e-8, True), (torch.float16, 1e-4, False), (torch.bfloat16, 1e-8, False)]
)
def test_an_epsilon_that_half_precision_rounds_to_zero_is_named(dtype: torch.dtype, eps: float, sick: bool) -> None:
    model = Cast(mlp(16, 4), dtype)
    findings = found(model, classes(0), F.cross_entropy, lambda m: torch.optim.Adam(m.parameters(), 1e-3, eps=eps))
    assert [f.problem for f in findings][:1] == (["zero-epsilon"] if sick else [])


def test_an_epsilon_of_zero_where_a_gradient_is_zero_is_named() -> None:
    batches = [(torch.cat([x[:, :12], torch.zeros(64, 4)], 1), y) for x, y in classes(0)]
    findings = found(mlp(16, 4), batches, F.cross_entropy, lambda m: torch.optim.Adam(m.parameters(), 1e-3, eps=0.0))
    assert findings[0].problem == "zero-epsilon"


@pytest.mark.parametrize("makes", [adam(1e-8), sgd(1e-9)])
def test_a_rate_that_moves_nothing_is_stalled_training(makes: Any) -> None:
    assert [f.problem for f in found(mlp(16, 4), classes(0), F.cross_entropy, makes)] == ["stalled-training"]


def test_a_rate_of_zero_may_be_the_start_of_a_warm_up() -> None:
    checkup = photic.check(mlp(16, 4), classes(0), F.cross_entropy, sgd(0.0))
    assert checkup.healthy


def test_a_converged_network_is_not_stalled() -> None:
    model = mlp(16, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(400):
        for x, y in classes(0):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert found(model, classes(0), F.cross_entropy, sgd(1e-4)) == []


def decaying(decay: float) -> Any:
    return lambda model: torch.optim.SGD(model.parameters(), 0.1, weight_decay=decay)


@pytest.mark.parametrize(("decay", "sick"), [(2.0, True), (1e-3, False)])
def test_a_weight_decay_that_rules_the_steps_is_stalled_training(decay: float, sick: bool) -> None:
    findings = found(mlp(16, 4), classes(0), F.cross_entropy, decaying(decay), steps=40)
    assert [f.problem for f in findings] == (["stalled-training"] if sick else [])


def test_an_optimizer_that_climbs_is_diverging() -> None:
    climbing = lambda model: torch.optim.SGD(model.parameters(), 0.05, maximize=True)  # noqa: E731
    first = found(mlp(16, 4), classes(0), F.cross_entropy, climbing)[0]
    assert first.problem == "diverging" and "uphill" in first.reason


def test_an_objective_that_is_meant_to_rise_below_zero_is_not_diverging() -> None:
    reward = lambda output, target: -F.cross_entropy(output, target)  # noqa: E731
    climbing = lambda model: torch.optim.SGD(model.parameters(), 0.05, maximize=True)  # noqa: E731
    assert "diverging" not in [f.problem for f in found(mlp(16, 4), classes(0), reward, climbing)]


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_a_rate_that_throws_the_loss_up_is_too_large_though_it_comes_down_again(rate: float) -> None:
    assert "learning-rate-too-large" in [f.problem for f in found(mlp(16, 4), classes(0), F.cross_entropy, adam(rate))]


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize(("rate", "sick"), [(0.1, True), (1e-3, False)])
def test_units_that_the_steps_kill_are_dead_units(seed: int, rate: float, sick: bool) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    batches = [(x[:, :8].abs(), y) for x, y in classes(0)]  # all inputs positive: a long step puts whole units below 0
    start = photic.check(model, batches, F.cross_entropy, adam(rate), steps=0)
    assert "dead-units" not in [f.problem for f in start.findings]
    assert [f.problem for f in found(model, batches, F.cross_entropy, adam(rate))] == (["dead-units"] if sick else [])
