"""Rules on data, loss and output: each on sick networks and on healthy ones that look alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records.findings import Finding


def adam(rate: float = 3e-3) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.Adam(model.parameters(), rate)


def sgd(rate: float = 0.1) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.SGD(model.parameters(), rate)


def classes(seed: int, scale: float = 1.0, shift: float = 0.0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(256, 16, generator=generator)
    y = (x[:, :4] + 0.2 * torch.randn(256, 4, generator=generator)).argmax(1)
    return [(shift + scale * x[k : k + 64], y[k : k + 64]) for k in range(0, 256, 64)]


def values(seed: int, scale: float = 1.0, shift: float = 0.0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(256, 8, generator=generator)
    y = x[:, :1] * x[:, 1:2] + x[:, 2:3]
    return [(x[k : k + 64], shift + scale * y[k : k + 64]) for k in range(0, 256, 64)]


def found(model: nn.Module, batches: Any, loss: Any, optimizer: Any, steps: int = 20) -> list[Finding]:
    return [f for f in photic.check(model, batches, loss, optimizer, steps=steps).findings if f.severity != "info"]


def mlp(inputs: int, outputs: int, *, first: nn.Module | None = None, last: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [
        nn.Linear(inputs, 64),
        first or nn.Identity(),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, outputs),
    ]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers, *([last] if last is not None else []))


@pytest.mark.parametrize(
    ("scale", "shift", "makes"), [(100.0, 0.0, sgd()), (1.0, 40.0, sgd()), (1e-3, 0.0, sgd()), (300.0, 0.0, adam())]
)
def test_an_input_far_from_unit_size_is_named_with_the_layer_it_enters(scale: float, shift: float, makes: Any) -> None:
    first = found(mlp(16, 4), classes(0, scale, shift), F.cross_entropy, makes)[0]
    assert (first.problem, first.sites) == ("unscaled-input", ("0",))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (4.0, 0.0), (0.3, 0.0), (1.0, 2.0)])
def test_inputs_of_about_unit_size_raise_no_alarm(scale: float, shift: float) -> None:
    assert found(mlp(16, 4), classes(0, scale, shift), F.cross_entropy, sgd()) == []


def test_a_normalisation_before_or_after_the_first_layer_takes_the_scale_away() -> None:
    after = mlp(16, 4, first=nn.BatchNorm1d(64))
    before = nn.Sequential(nn.BatchNorm1d(16), mlp(16, 4))
    for model in (after, before):
        assert found(model, classes(0, 100.0, 300.0), F.cross_entropy, sgd()) == []


@pytest.mark.parametrize(("scale", "shift", "makes"), [(500.0, 5000.0, adam(1e-3)), (100.0, 300.0, sgd(0.01))])
def test_a_target_in_large_units_is_unscaled_target(scale: float, shift: float, makes: Any) -> None:
    assert found(mlp(8, 1), values(0, scale, shift), F.mse_loss, makes)[0].problem == "unscaled-target"


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, lambda output, target: (output - target).square().mean()])
def test_targets_that_are_reached_raise_no_alarm(loss: Any) -> None:
    assert found(mlp(8, 1), values(0, 3.0, 2.0), loss, adam(), steps=60) == []


def test_a_target_in_large_units_is_seen_in_a_loss_written_by_hand() -> None:
    loss = lambda output, target: (output - target).abs().mean()  # noqa: E731
    assert found(mlp(8, 1), values(0, 10.0, 9000.0), loss, adam(1e-3))[0].problem == "unscaled-target"


def test_a_relu_at_the_output_that_is_off_is_a_dying_output() -> None:
    model = mlp(8, 1, last=nn.ReLU())
    nn.init.constant_(model[5].bias, -30.0)  # pyright: ignore[reportArgumentType]
    first = found(model, values(0, 1.0, 2.0), F.mse_loss, adam())[0]
    assert (first.problem, first.sites) == ("dying-output", ("6",))


@pytest.mark.parametrize(("last", "shift"), [(nn.Sigmoid(), 10.0), (nn.Tanh(), 7.0)])
def test_a_bounded_output_that_cannot_reach_its_target_is_a_dying_output(last: nn.Module, shift: float) -> None:
    first = found(mlp(8, 1, last=last), values(0, 1.0, shift), F.mse_loss, adam())[0]
    assert (first.problem, first.sites) == ("dying-output", ("6",))


def test_an_autoencoders_target_is_its_input() -> None:
    batches = [(16.0 * torch.rand(64, 16, generator=torch.Generator().manual_seed(k)),) for k in range(4)]
    pairs = [(x, x) for (x,) in batches]
    assert found(mlp(16, 16, last=nn.Sigmoid()), pairs, F.mse_loss, adam())[0].problem == "dying-output"
    within = [(x / 16.0, x / 16.0) for x, _ in pairs]
    assert "dying-output" not in [f.problem for f in found(mlp(16, 16, last=nn.Sigmoid()), within, F.mse_loss, adam())]


def test_a_bounded_output_within_its_range_raises_no_alarm() -> None:
    batches = [(x, torch.sigmoid(y)) for x, y in values(0)]
    assert found(mlp(8, 1, last=nn.Sigmoid()), batches, F.mse_loss, adam(), steps=40) == []
    assert found(mlp(8, 1, last=nn.ReLU()), [(x, y.abs()) for x, y in values(0)], F.mse_loss, adam(), steps=40) == []


def sure(scale: float) -> nn.Module:
    model = mlp(16, 4)
    with torch.no_grad():
        model[5].weight.mul_(scale)  # pyright: ignore
    return model


def squared(output: Tensor, target: Tensor) -> Tensor:
    return (output.softmax(-1) - F.one_hot(target, 4)).square().sum(-1).mean()


def test_a_squared_error_behind_a_softmax_that_is_sure_and_wrong_is_loss_saturation() -> None:
    assert found(sure(300.0), classes(0), squared, sgd())[0].problem == "loss-saturation"
    assert found(sure(1.0), classes(0), squared, sgd()) == []


def test_a_softmax_that_is_sure_and_right_is_not_saturated() -> None:
    model = nn.Sequential(nn.Linear(16, 4))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
        model[0].weight[:, :4] = 200.0 * torch.eye(4)
    assert "loss-saturation" not in [f.problem for f in found(model, classes(0), squared, sgd(0.01))]


def test_a_generator_against_a_sure_judge_saturates_with_log_one_minus_d_and_not_with_minus_log_d() -> None:
    torch.manual_seed(0)
    judge = nn.Sequential(nn.Linear(2, 1)).requires_grad_(False)
    nn.init.constant_(judge[0].bias, -12.0)  # pyright: ignore[reportArgumentType]
    model = nn.Sequential(mlp(8, 2), judge)
    noise = [(torch.randn(64, 8), torch.ones(64, 1)) for _ in range(4)]
    saturating = lambda output, _: torch.log(1 - torch.sigmoid(output)).mean()  # noqa: E731
    walking = lambda output, _: -F.logsigmoid(output).mean()  # noqa: E731
    assert found(model, noise, saturating, sgd())[0].problem == "loss-saturation"
    assert "loss-saturation" not in [f.problem for f in found(model, noise, walking, sgd(0.01))]


def test_a_loss_cut_off_above_everything_is_loss_saturation_and_a_satisfied_hinge_is_not() -> None:
    def clamped(output: Tensor, target: Tensor) -> Tensor:
        return F.relu(1.0 - output * target).clamp_max(1.0).mean()

    def hinge(output: Tensor, target: Tensor) -> Tensor:
        return F.relu(1.0 - output * target).mean()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    nn.init.constant_(model[2].bias, -90.0)  # pyright: ignore[reportArgumentType]
    wrong = [(torch.randn(64, 8), torch.ones(64, 1)) for _ in range(4)]
    right = [(x, -y) for x, y in wrong]
    assert found(model, wrong, clamped, sgd())[0].problem == "loss-saturation"
    assert found(model, right, hinge, sgd()) == []
