"""What ends in nan, is told nothing, or grows with time is named; what only looks like it is not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import photic
from photic.probes.divided import told
from tests.diagnosis import told_nothing as sick
from tests.diagnosis.held import alarms, asked


def found(model: nn.Module, batches: Any, loss: Any = F.mse_loss) -> list[str]:
    return alarms(asked(model, batches, loss))


def test_a_logarithm_of_0_is_named_that_only_a_slope_meets() -> None:
    checkup = asked(sick.Powers(0.0), sick.some_zeros)
    assert alarms(checkup) == ["non-finite"]
    assert checkup.run.site(checkup.findings[0].sites[0]).operation == "log"
    assert found(sick.Powers(1e-2), sick.some_zeros, F.cross_entropy) == []


def test_a_state_is_named_that_a_factor_makes_larger_at_every_step() -> None:
    growing = sick.Masked(1.6, of_state=True, tensor=True)
    assert found(growing, sick.first_of(), F.cross_entropy)[0] == "exploding-in-time"
    assert found(sick.Masked(1.6, of_state=False, tensor=True), sick.first_of(), F.cross_entropy) == []


def test_a_state_that_adds_up_is_no_explosion() -> None:
    assert "exploding-in-time" not in found(sick.Masked(1.0, of_state=True), sick.first_of(), F.cross_entropy)


def test_a_backward_is_named_that_makes_the_gradient_grow_from_step_to_step() -> None:
    checkup = asked(sick.Summed(2.0), sick.delayed, F.mse_loss)
    assert alarms(checkup)[0] == "exploding-in-time"
    assert "own backward" in checkup.findings[0].reason
    assert found(sick.Summed(0.5), sick.delayed) == []


def test_a_layer_of_a_loop_is_not_idle_that_is_heard_at_its_first_steps() -> None:
    assert found(sick.Gates(0.5), sick.first_of(), F.cross_entropy) == []


def test_sines_of_whole_turns_tell_nothing() -> None:
    checkup = asked(sick.Clock(1.0), sick.hours, F.mse_loss)
    assert alarms(checkup) == ["class-prior-only"]
    assert "whole turns" in checkup.findings[0].reason
    assert found(sick.Clock(24.0), sick.hours) == []


def test_they_do_no_harm_beside_the_hour_itself() -> None:
    assert "class-prior-only" not in found(sick.Clock(1.0, beside=True), sick.hours)


def test_a_batch_is_drowned_of_which_a_sum_holds_a_thousandth() -> None:
    assert found(sick.Noisy(1e-3), sick.itself) == ["class-prior-only"]
    assert found(sick.Noisy(1.0), sick.itself) == []


def test_a_size_is_missed_that_is_asked_for_and_divided_out() -> None:
    assert found(sick.Sized("divided"), sick.sizes) == ["class-prior-only"]


@pytest.mark.parametrize("how", ["whole", "given back"])
def test_a_size_is_not_missed_that_reaches_the_output(how: str) -> None:
    assert found(sick.Sized(how), sick.sizes) == []


def test_the_share_of_the_targets_is_that_of_a_linear_regression() -> None:
    draw = torch.Generator().manual_seed(0)
    known, noise = torch.randn(4000, 2, generator=draw), torch.randn(4000, 1, generator=draw)
    half: Tensor = known[:, :1] + noise  # variances 1 and 1; the share of 4,000 deviates by about 0.01
    assert told(known, half) == pytest.approx(0.5, abs=0.05)
    assert told(known, noise) == pytest.approx(0.0, abs=0.01)
    assert told(known[:8], half[:8]) is None


def test_a_whole_quotient_leaves_nothing_of_whole_numbers() -> None:
    checkup = asked(sick.Places(whole=True), sick.grid, F.mse_loss)
    assert alarms(checkup) == ["class-prior-only"]
    assert checkup.run.site(checkup.findings[0].sites[0]).operation == "floordiv"
    assert found(sick.Places(whole=False), sick.grid) == []


def test_a_mask_of_everything_leaves_nothing_of_words() -> None:
    checkup = asked(sick.Blanks(15.0), sick.words, F.cross_entropy)
    assert alarms(checkup) == ["class-prior-only"]
    assert checkup.run.site(checkup.findings[0].sites[0]).operation == "masked_fill"
    assert found(sick.Blanks(0.15), sick.words, F.cross_entropy) == []


def test_a_rounding_is_named_in_a_regression_too() -> None:
    assert found(sick.Rows(scaled=True), sick.rows) == ["class-prior-only"]
    assert found(sick.Rows(scaled=False), sick.rows) == []


def test_a_code_is_held_at_nothing_by_its_penalty() -> None:
    checkup = asked(sick.Coded(), sick.of_two, sick.penalised(5.0), rate=3e-2)
    assert alarms(checkup) == ["class-prior-only"]
    assert "penalty" in checkup.findings[0].reason


@pytest.mark.parametrize(("share", "rate"), [(0.01, 3e-2), (5.0, 1e-5)])
def test_it_is_not_by_a_small_one_nor_before_it_has_come_down(share: float, rate: float) -> None:
    assert "class-prior-only" not in alarms(asked(sick.Coded(), sick.of_two, sick.penalised(share), rate=rate))


def test_nor_is_a_code_that_has_not_grown_yet() -> None:
    model = sick.Coded()
    for parameter in model.code.parameters():
        nn.init.normal_(parameter, std=1e-3)
    assert "class-prior-only" not in alarms(asked(model, sick.of_two, sick.penalised(0.01), rate=1e-5))


class Autoencoder(nn.Module):
    """A variational autoencoder: answers, means and log variances, of which nobody knows what one answer for all would cost."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(64, 48), nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 64))
        self.mean, self.spread = nn.Linear(48, 4), nn.Linear(48, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.relu(self.down(x))
        mean, spread = self.mean(h), self.spread(h)
        return self.up(mean + torch.randn_like(mean) * torch.exp(0.5 * spread)), mean, spread


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("steps", [20, 60])
def test_a_loss_that_falls_to_the_mean_picture_is_no_excuse(summed: bool, steps: int) -> None:
    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        answer, mean, spread = output
        penalty = -0.5 * (1.0 + spread - mean.square() - spread.exp()).sum(1).mean()
        error = F.mse_loss(answer, x, reduction="none")
        return penalty + (error.sum(1).mean() if summed else error.mean())

    pixels = torch.from_numpy(load_digits().data).float() / 8.0
    torch.manual_seed(0)
    model = Autoencoder()
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    found = photic.check(model, [(x, x) for x in pixels.split(64)[:-1]], loss, adam, steps=steps)
    assert ("class-prior-only" in alarms(found)) is not summed
