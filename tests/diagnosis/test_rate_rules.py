"""Rates that are too small, priors alone, tensors of nobody, frozen layers, networks too thin: sick ones and look-alikes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups.setup import Setup
from photic.checkups.training import train
from photic.lab.clinic.networks import he, stack
from photic.probes.stretching import stretched
from photic.records.findings import Checkup, Finding
from tests import zoo
from tests.zoo import seeded

Optimizer = Callable[[nn.Module], torch.optim.Optimizer]


def sgd(rate: float, momentum: float = 0.0) -> Optimizer:
    return lambda model: torch.optim.SGD(model.parameters(), rate, momentum=momentum)


def adam(rate: float) -> Optimizer:
    return lambda model: torch.optim.Adam(model.parameters(), rate)


def classes() -> list[Any]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, 64, generator=generator)
    y = (x[:, :10] + 0.3 * torch.randn(256, 10, generator=generator)).argmax(1)
    return [(x[k : k + 64], y[k : k + 64]) for k in range(0, 256, 64)]


def values() -> list[Any]:
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(256, 10, generator=generator)
    y = torch.tanh(x[:, :1] * x[:, 1:2] + x[:, 2:3])
    return [(x[k : k + 64], y[k : k + 64]) for k in range(0, 256, 64)]


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x.view(len(x), 8, 8))[0][:, -1])


def good() -> nn.Module:
    return zoo.Mlp(torch.relu, 3, variance=2.0)


def regression() -> nn.Module:
    return stack([10, 64, 64, 1], nn.ReLU, he)


def problems(model: nn.Module, batches: Any, loss: Any, optimizer: Any) -> list[Finding]:
    return [f for f in photic.check(model, batches, loss, optimizer).findings if f.severity != "info"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("build", "batches", "loss", "optimizer"),
    [
        (good, classes(), F.cross_entropy, sgd(2e-5)),
        (good, classes(), F.cross_entropy, adam(1e-6)),
        (good, classes(), lambda o, y: 1000.0 * F.cross_entropy(o, y), sgd(2e-8)),
        (Reader, classes(), F.cross_entropy, sgd(3e-3)),
        (regression, values(), F.mse_loss, adam(1e-6)),
    ],
    ids=["descent", "adam", "scaled loss", "recurrent", "regression"],
)
def test_steps_that_are_far_too_short_are_named(
    build: Callable[[], nn.Module], batches: Any, loss: Any, optimizer: Optimizer, seed: int
) -> None:
    (found,) = problems(seeded(build, seed), batches, loss, optimizer)
    assert (found.problem, found.severity) == ("learning-rate-too-small", "warning")
    assert found.evidence[2].value >= 30.0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("build", "batches", "loss", "optimizer"),
    [
        (good, classes(), F.cross_entropy, sgd(0.1)),
        (good, classes(), F.cross_entropy, sgd(0.01)),
        (good, classes(), F.cross_entropy, adam(1e-4)),
        (Reader, classes(), F.cross_entropy, adam(1e-3)),
        (regression, values(), F.mse_loss, adam(1e-3)),
        (regression, values(), F.mse_loss, sgd(0.01)),
    ],
)
def test_usual_rates_are_not_too_small(
    build: Callable[[], nn.Module], batches: Any, loss: Any, optimizer: Optimizer, seed: int
) -> None:
    assert problems(seeded(build, seed), batches, loss, optimizer) == []


def test_a_network_that_has_learned_may_crawl() -> None:
    model = seeded(good)
    train(Setup(model, list, F.cross_entropy, adam(1e-3)(model)), itertools.cycle(classes()), 100)
    assert problems(model, classes(), F.cross_entropy, sgd(1e-5)) == []


def test_a_rate_that_still_rises_is_a_warm_up() -> None:
    model = seeded(good)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)

    def rise(held: torch.optim.Optimizer, _: Any, __: Any) -> None:
        held.param_groups[0]["lr"] *= 1.01

    optimizer.register_step_post_hook(rise)
    assert problems(model, classes(), F.cross_entropy, optimizer) == []


def test_without_an_optimizer_the_rate_is_ours() -> None:
    def small(output: Tensor, target: Tensor) -> Tensor:
        return 1e-4 * F.cross_entropy(output, target)

    assert photic.check(seeded(good), classes(), small).healthy


def test_the_stretched_loss_of_a_parabola_is_a_parabola() -> None:
    """L(w) = (w - 1)^2 with one step from 0 to 0.01: at k steps the loss is (0.01 k - 1)^2."""
    start, end = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        start.weight.zero_()
        end.weight.fill_(0.01)
    one = torch.ones(4, 1)
    found = stretched(start, end, [(one, one)], F.mse_loss)
    assert [s.loss for s in found] == pytest.approx([(0.01 * s.multiple - 1.0) ** 2 for s in found], abs=1e-6)
    assert [s.multiple for s in found] == [0, 1, 3, 10, 30, 100, 300]  # and no further: the loss has doubled


@pytest.mark.parametrize(("steps", "sick"), [(160, True), (60, False)])
def test_outputs_that_are_the_same_for_all_inputs_have_learned_the_prior(steps: int, sick: bool) -> None:
    shown = [(x, (y % 3).clamp_max(1)) for x, y in classes()]
    model = seeded(lambda: stack([64, 64, 8, 2], nn.ReLU, he))
    blind: Any = model[:3].requires_grad_(False)[2]
    nn.init.zeros_(blind.weight)
    nn.init.ones_(blind.bias)
    checkup = photic.check(model, shown, F.cross_entropy, adam(1e-3), steps=steps)
    assert ("class-prior-only" in [f.problem for f in checkup.findings]) == sick


def test_a_network_that_learns_more_than_the_prior_is_left_alone() -> None:
    skewed = [(x, (y % 3).clamp_max(1)) for x, y in classes()]
    model = seeded(lambda: stack([64, 64, 2], nn.ReLU, he))
    assert photic.check(model, skewed, F.cross_entropy, adam(1e-3), steps=160).findings == ()


def test_an_optimizer_that_holds_what_a_replaced_layer_left_behind_is_told() -> None:
    model = seeded(lambda: stack([64, 32, 10], nn.ReLU, he))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    spare = nn.Linear(4, 4)
    optimizer.add_param_group({"params": list(spare.parameters())})
    run = photic.measure(model, classes()[0], F.cross_entropy, optimizer=optimizer)
    (found,) = photic.diagnose(run).findings
    assert (found.problem, found.severity, run.foreign) == ("foreign-parameters", "info", 2)
    model[2] = nn.Linear(32, 10)  # now a layer is without an owner, which says more
    run = photic.measure(model, classes()[0], F.cross_entropy, optimizer=optimizer)
    assert [f.problem for f in photic.diagnose(run).findings] == ["unowned-parameters"]
    assert run.foreign == 4


def test_parameters_of_a_loss_are_not_foreign() -> None:
    model, scale = seeded(lambda: stack([64, 32, 10], nn.ReLU, he)), nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([*model.parameters(), scale], 0.1)
    run = photic.measure(model, classes()[0], lambda o, y: F.cross_entropy(o * scale, y), optimizer=optimizer)
    assert run.foreign == 0


@pytest.mark.parametrize("how", ["requires_grad", "rate"])
def test_frozen_layers_are_told_while_the_loss_stands_still(how: str) -> None:
    model = seeded(lambda: stack([64, 32, 10], nn.ReLU, he))
    rate = 1e-7
    if how == "requires_grad":
        model[0].requires_grad_(False)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], rate)
    else:
        groups = [{"params": list(model[0].parameters()), "lr": 0.0}, {"params": list(model[2].parameters())}]
        optimizer = torch.optim.SGD(groups, rate)
    found = {f.problem: f for f in photic.check(model, classes(), F.cross_entropy, optimizer).findings}
    assert found["frozen-layers"].severity == "info" and found["frozen-layers"].sites == ("0",)
    for group in optimizer.param_groups:
        group["lr"] *= 1e7  # to 1, or 0
    assert "frozen-layers" not in [
        f.problem for f in photic.check(model, classes(), F.cross_entropy, optimizer).findings
    ]


@pytest.mark.parametrize("how", ["requires_grad", "rate"])
def test_layers_frozen_before_anything_was_learned_in_them_are_a_warning(how: str) -> None:
    model = seeded(
        lambda: nn.Sequential(nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 10))
    )
    body, head = list(model[:4].parameters()), list(model[4].parameters())
    if how == "requires_grad":
        model[:4].requires_grad_(False)
        optimizer = torch.optim.Adam(head, 1e-3)
    else:
        optimizer = torch.optim.Adam([{"params": body, "lr": 1e-12}, {"params": head}], 1e-3)
    found = {f.problem: f for f in photic.check(model, classes(), F.cross_entropy, optimizer).findings}
    assert found["frozen-layers"].severity == "warning" and found["frozen-layers"].sites == ("0", "2")
    assert "nothing was learned in them" in found["frozen-layers"].reason


def test_a_frozen_embedding_of_zeros_is_no_fault_of_the_data() -> None:
    def silent() -> nn.Module:
        table = nn.Embedding.from_pretrained(torch.zeros(17, 8))
        return nn.Sequential(table, nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10))

    words = [((8 + 2 * x).long().clamp(0, 16), y) for x, y in classes()]
    model = seeded(silent)
    found = {f.problem: f for f in photic.check(model, words, F.cross_entropy, adam(1e-3)(model)).findings}
    assert found["frozen-layers"].severity == "warning" and found["frozen-layers"].sites == ()
    assert "0 stay as they are" in found["frozen-layers"].reason and "class-prior-only" not in found


def test_a_vector_that_scales_a_branch_of_zeros_meets_its_zero() -> None:
    class Scaled(nn.Module):
        def __init__(self, start: float) -> None:
            super().__init__()
            self.stem, self.branch, self.head = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
            self.layer_scale = nn.Parameter(torch.full((32,), start))
            nn.init.zeros_(self.branch.weight)
            nn.init.zeros_(self.branch.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.stem(x))
            return self.head(x + self.layer_scale * self.branch(x))

    for start, sick in ((0.0, True), (1e-3, False)):
        found = [f.problem for f in problems(seeded(lambda s=start: Scaled(s)), classes(), F.cross_entropy, adam(1e-3))]
        assert ("zero-times-zero" in found) == sick


@pytest.mark.parametrize(("depth", "width", "sick"), [(40, 24, True), (8, 24, False), (20, 64, False)])
def test_a_plain_network_that_is_deep_for_its_width_is_named(depth: int, width: int, sick: bool) -> None:
    model = seeded(lambda: stack([64, *[width] * depth, 10], nn.ReLU, he))
    found = problems(model, classes(), F.cross_entropy, sgd(0.01))
    assert ("rank-collapse" in [f.problem for f in found]) == sick


def ramped(growth: float, steps: int) -> Checkup:
    model = seeded(good)
    optimizer = torch.optim.SGD(model.parameters(), 0.02)

    def rise(held: torch.optim.Optimizer, _: Any, __: Any) -> None:
        held.param_groups[0]["lr"] *= growth

    optimizer.register_step_post_hook(rise)
    return photic.check(model, classes(), F.cross_entropy, optimizer, steps=steps)


@pytest.mark.parametrize(("growth", "steps", "sick"), [(1.12, 36, True), (1.25, 30, True), (1.03, 50, False)])
def test_a_rate_that_ramps_into_divergence_is_named_and_not_its_nan(growth: float, steps: int, sick: bool) -> None:
    found = [(f.problem, f.severity) for f in ramped(growth, steps).findings]
    assert found == ([("learning-rate-too-large", "critical")] if sick else [])


@pytest.mark.parametrize(("growth", "turned", "sick"), [(1.06, 1.3, True), (1.06, 1.05, False), (1.0, 1.3, False)])
def test_a_loss_that_has_turned_while_the_steps_grow_is_an_early_warning(
    growth: float, turned: float, sick: bool
) -> None:
    run = ramped(growth, 50).run
    best = sum(run.losses[30:36]) / 6
    run = dataclasses.replace(run, losses=(*run.losses[:36], *[turned * best] * 14))
    found = [(f.problem, f.severity) for f in photic.diagnose(run).findings if f.severity != "info"]
    assert found == ([("learning-rate-too-large", "warning")] if sick else [])
