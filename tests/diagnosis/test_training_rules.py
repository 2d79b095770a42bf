"""Rules about training: each on a run that has the problem and on runs that only look like it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups.watching import Watch
from tests import zoo
from tests.zoo import seeded


def watched(
    build: Callable[[], nn.Module],
    make: Any,
    *,
    steps: int = 40,
    zero: bool = True,
    accumulate: int = 1,
    scale: float = 1.0,
) -> Watch:
    model = seeded(build)
    optimizer = make(model.parameters())
    x, y = zoo.vectors()
    with photic.watch(model, optimizer) as watch:
        for _ in range(steps):
            for _ in range(accumulate):
                (scale * F.cross_entropy(model(x), y)).backward()
            optimizer.step()
            if zero:
                optimizer.zero_grad(set_to_none=False)
    return watch


def problems(watch: Watch) -> list[str]:
    return [finding.problem for finding in watch.findings]


def sgd(rate: float) -> Any:
    return lambda p: torch.optim.SGD(p, rate)


def adam(epsilon: float, rate: float = 1e-3) -> Any:
    return lambda p: torch.optim.Adam(p, rate, eps=epsilon)


def good() -> nn.Module:
    return zoo.Mlp(torch.relu, 4, variance=2.0)


def test_gradients_that_are_never_zeroed_are_named_first() -> None:
    assert problems(watched(good, sgd(0.01), zero=False))[0] == "never-zeroed-gradients"


@pytest.mark.parametrize("accumulate", [1, 4])
def test_accumulation_is_no_missing_zero(accumulate: int) -> None:
    assert problems(watched(good, sgd(0.01), accumulate=accumulate)) == []


def test_a_gans_two_optimizers_leave_each_others_gradients_alone() -> None:
    first, second = seeded(lambda: (nn.Linear(4, 8), nn.Linear(8, 1)))
    one, two = torch.optim.SGD(first.parameters(), 0.01), torch.optim.SGD(second.parameters(), 0.01)
    with photic.watch([first, second]) as watch:
        for _ in range(20):
            two.zero_grad()
            F.softplus(second(first(torch.randn(16, 4)).detach())).mean().backward()
            two.step()
            one.zero_grad()
            F.softplus(-second(first(torch.randn(16, 4)))).mean().backward()
            one.step()
    assert problems(watch) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_adams_epsilon_freezes_a_deep_sigmoid_network_and_a_smaller_one_frees_it(seed: int) -> None:
    frozen = watched(lambda: zoo.Mlp(), adam(1e-8))
    assert "frozen-by-epsilon" in problems(frozen)
    finding = next(f for f in frozen.findings if f.problem == "frozen-by-epsilon")
    assert finding.sites[0] == "layers.0"
    assert "frozen-by-epsilon" not in problems(watched(lambda: zoo.Mlp(), adam(1e-20)))


def test_a_loss_in_tiny_units_freezes_all_layers_and_blames_none() -> None:
    watch = watched(good, adam(1e-8), scale=1e-9)
    finding = next(f for f in watch.findings if f.problem == "frozen-by-epsilon")
    assert finding.sites == () and "units" in finding.reason


def test_adam_on_healthy_and_on_converged_networks_is_not_frozen() -> None:
    assert problems(watched(good, adam(1e-8))) == []
    assert problems(watched(good, adam(1e-8, 1e-2), steps=520)) == []  # fitted to the last digit


def batches() -> Any:
    x, y = zoo.vectors()
    return lambda: itertools.repeat((x, y))


@pytest.mark.parametrize("rate", [3.0, 10.0])
def test_a_learning_rate_that_overshoots_is_named(rate: float) -> None:
    model = seeded(good)
    checkup = photic.check(model, batches(), F.cross_entropy, torch.optim.SGD(model.parameters(), rate))
    assert [(f.problem, f.severity) for f in checkup.findings] == [("learning-rate-too-large", "critical")]
    assert "then nan" in checkup.findings[0].reason


def test_a_learning_rate_of_ours_is_no_fault_of_the_users() -> None:
    def large(output: Tensor, target: Tensor) -> Tensor:
        return 40.0 * F.cross_entropy(output, target)

    checkup = photic.check(seeded(good), batches(), large)
    assert all(f.severity == "info" for f in checkup.findings if f.problem == "learning-rate-too-large")


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_learning_rates_that_work_raise_no_alarm(rate: float) -> None:
    model = seeded(good)
    checkup = photic.check(model, batches(), F.cross_entropy, torch.optim.SGD(model.parameters(), rate, momentum=0.9))
    assert checkup.findings == ()


def test_a_loss_that_may_rise_does_so_at_small_steps() -> None:
    """A critic that gets better raises its opponent's loss; nobody's learning rate is to blame."""
    model = seeded(good)

    def rising(output: Tensor, _: Tensor) -> Tensor:
        return (
            (output.square().mean() + 0.1) / 1.0
            - 2.0 * (output.square().mean() - output.square().mean().detach())
            + 1e-3
        )

    checkup = photic.check(model, batches(), rising, torch.optim.Adam(model.parameters(), 1e-3), steps=30)
    assert "learning-rate-too-large" not in [f.problem for f in checkup.findings]


@pytest.mark.parametrize(("limit", "found"), [(1e6, True), (1e-5, True), (10.0, False), (0.5, False)])
def test_clipping_that_does_nothing_or_everything_is_told_and_the_usual_is_not(limit: float, found: bool) -> None:
    model = seeded(good)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer) as watch:
        for _ in range(12):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), limit)
            optimizer.step()
    assert ("useless-clipping" in problems(watch)) == found
    assert watch.healthy == (limit != 1e-5)  # where all is cut away, nothing learns
    run = watch.run
    assert run is not None and run.steps[-1].clip_limit == limit
    before = sum((r.before_clipping or 0.0) ** 2 for r in run.steps[-1].parameters) ** 0.5
    assert run.steps[-1].clip_norm == pytest.approx(before, rel=1e-4)
    assert nn.utils.clip_grad._clip_grads_with_norm_.__module__ == "torch.nn.utils.clip_grad"
