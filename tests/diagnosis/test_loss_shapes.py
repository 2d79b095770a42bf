"""Losses that are written wrongly: broadcast targets, a minus sign; and schedules that take the rate away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.remedies.treat import treat
from tests.zoo import seeded

Loss = Callable[[Tensor, Tensor], Tensor]


def regression(*shape: int) -> list[Any]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(512, 10, generator=generator)
    y = torch.tanh(x[:, 0] * x[:, 1] + x[:, 2])
    return [(x[k : k + 64], y[k : k + 64].view(64, *shape)) for k in range(0, 512, 64)]


def network() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1)))


class Flat(nn.Module):
    """Returns one number for each example, without an axis of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)[:, 0]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


LOSSES: dict[str, Loss] = {
    "mse_loss": F.mse_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "by hand": lambda output, target: ((output - target) ** 2).mean(),
    "weighted": lambda output, target: -(output * target).mean(),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize(("model", "shape"), [(network, ()), (Flat, (1,))], ids=["column", "row"])
def test_targets_that_are_broadcast_are_named_with_both_shapes(
    loss: Loss, model: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    found = photic.check(model(), regression(*shape), loss, adam).findings
    assert found[0].problem == "broadcast-target" and found[0].severity == "critical"
    assert "[64, 64]" in found[0].reason


@pytest.mark.parametrize("loss", [F.mse_loss, LOSSES["by hand"]])
@pytest.mark.parametrize(("model", "shape"), [(network, (1,)), (Flat, ())], ids=["column", "row"])
def test_targets_of_the_shape_of_the_output_are_silent(
    loss: Loss, model: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    assert photic.check(model(), regression(*shape), loss, adam).healthy


@pytest.mark.parametrize("column", [True, False])
def test_advantages_of_another_shape_than_the_probability_of_what_was_chosen_are_found(column: bool) -> None:
    def surrogate(output: Tensor, chosen: tuple[Tensor, Tensor]) -> Tensor:
        action, advantage = chosen
        return -(torch.distributions.Categorical(logits=output).log_prob(action) * advantage).mean()

    g = torch.Generator().manual_seed(0)
    batches: list[Any] = []
    for _ in range(8):
        states, action = torch.randn(16, 4, generator=g), torch.randint(0, 4, (16,), generator=g)
        right = (states.argmax(1) == action).float() - 0.25
        batches.append((states, (action, right[:, None] if column else right)))
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 4)))
    found = [f.problem for f in photic.check(model, batches, surrogate, adam(model)).findings]
    assert ("broadcast-target" in found) == column


def test_a_comparison_of_all_pairs_that_is_meant_is_silent() -> None:
    def ranked(output: Tensor, target: Tensor) -> Tensor:
        gaps, wanted = output - output.T, torch.sign(target[:, None] - target[None, :])
        return F.softplus(-gaps * wanted).mean()

    def all_targets(output: Tensor, target: Tensor) -> Tensor:
        return (output[:, 0][:, None] - target[None, :]).abs().mean()

    for loss in (ranked, all_targets):
        found = photic.check(network(), regression(), loss, adam).findings
        assert "broadcast-target" not in [f.problem for f in found]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(("model", "shape"), [(network, ()), (Flat, (1,))], ids=["column", "row"])
def test_an_output_in_the_shape_of_the_target_cures(model: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    treatment = treat(model, regression(*shape), F.mse_loss, optimizer=adam, steps=100, seeds=(0,))
    assert treatment.remedy == "matched-target", treatment.report()
    assert "squeeze(-1)" in treatment.patch + treatment.paste
    treated = treatment.setup()
    assert treated.model(regression(*shape)[0][0]).shape == regression(*shape)[0][1].shape


class Maps(nn.Module):
    """Maps of 8 x 8, with an axis for one channel or without."""

    def __init__(self, *, channel: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
        self.channel = channel

    def forward(self, x: Tensor) -> Tensor:
        made = self.body(x)
        return made if self.channel else made[:, 0]


def maps(*, channel: bool) -> list[Any]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(256, 1, 8, 8, generator=generator)
    y = torch.tanh(x * x.roll(1, 3) + x)
    return [(x[k : k + 32], y[k : k + 32] if channel else y[k : k + 32, 0]) for k in range(0, 256, 32)]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("channel", [True, False])
def test_maps_that_are_broadcast_over_the_batch_are_found_and_cured(channel: bool) -> None:
    def build() -> nn.Module:
        return seeded(lambda: Maps(channel=channel))

    found = photic.check(build(), maps(channel=not channel), F.mse_loss, adam).findings
    assert found[0].problem == "broadcast-target" and "[32, 32, 8, 8]" in found[0].reason
    treatment = treat(build, maps(channel=not channel), F.mse_loss, optimizer=adam, steps=60, seeds=(0,))
    assert treatment.remedy == "matched-target", treatment.report()
    assert ("squeeze(1)" if channel else "unsqueeze(1)") in treatment.patch + treatment.paste
    assert photic.check(build(), maps(channel=channel), F.mse_loss, adam).healthy


def test_the_target_is_not_matched_where_shapes_fit_or_the_axis_is_no_single_one() -> None:
    from photic.diagnosis.graph import Graph
    from photic.remedies.catalogue.matched_target import matched_target

    run = photic.measure(network(), regression(1)[0], F.mse_loss)
    assert matched_target(Graph.of(run)) == "the loss compares each output with its own target"


@pytest.mark.parametrize("loss", [F.mse_loss, lambda o, t: 10.0 * F.l1_loss(o, t)], ids=["mean", "scaled"])
def test_a_minus_sign_before_an_error_is_found(loss: Loss) -> None:
    found = photic.check(network(), regression(1), lambda o, t: -loss(o, t), adam).findings
    assert [f.problem for f in found] == ["diverging"] and "minus sign" in found[0].advice


def test_a_negative_loss_that_is_meant_is_silent() -> None:
    def likeness(output: Tensor, target: Tensor) -> Tensor:
        return -F.cosine_similarity(output.T, target.T).mean()

    assert photic.check(network(), regression(1), likeness, adam).healthy
    assert photic.check(network(), regression(1), lambda o, t: F.mse_loss(o, t) - 5.0, adam).healthy


class Fading(torch.optim.SGD):
    """SGD with a schedule that is stepped at every batch."""

    def __init__(self, parameters: Any, factor: float) -> None:
        super().__init__(parameters, lr=0.05)
        self.schedule = torch.optim.lr_scheduler.StepLR(self, 1, factor)

    def step(self, closure: Any = None) -> Any:
        super().step(closure)
        self.schedule.step()


@pytest.mark.parametrize(("factor", "sick"), [(0.5, True), (0.1, True), (1.0, False), (0.98, False)])
def test_a_schedule_that_takes_the_rate_away_is_stalled_training(factor: float, sick: bool) -> None:
    found = photic.check(
        network(), regression(1), F.mse_loss, lambda model: Fading(model.parameters(), factor)
    ).findings
    assert [f.problem for f in found if f.severity != "info"] == (["stalled-training"] if sick else [])
    assert not sick or "schedule" in found[0].reason
