"""Cures of what ends in nan, is told nothing of its batch, or grows with time; and what each of them refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import treat
from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out, substitute_loss
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedies
from tests.diagnosis import told_nothing as sick
from tests.diagnosis.held import alarms, asked


def cure(build: Any, batches: Any, loss: Any = F.mse_loss, *, rate: float = 1e-2, steps: int = 120) -> str:
    treatment = treat(
        build,
        batches,
        loss,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=rate),
        steps=steps,
        workers=1,
        seeds=(0,),
    )
    return treatment.remedy


def prescribed(remedy: str, model: nn.Module, batches: Any, loss: Any = F.mse_loss) -> Any:
    run = asked(model, batches, loss, steps=20).run
    return next(one for one in remedies() if one.name == remedy).prescribe(Graph.of(run))


def test_a_logarithm_whose_slope_a_power_meets_is_kept_from_0() -> None:
    assert cure(lambda: sick.Powers(0.0), sick.some_zeros, F.cross_entropy) == "guarded-argument"


def test_a_singular_matrix_gets_a_ridge() -> None:
    model, loss = sick.layers(8, 4), sick.spread_out(0.0)
    found = prescribed("ridged-matrix", model, sick.columns, loss)
    assert alarms(asked(model, sick.columns, substitute_loss(found, model, loss))) == []
    refused = prescribed("ridged-matrix", sick.Powers(0.0), sick.some_zeros, F.cross_entropy)
    assert refused == "`log` takes no square matrix"


def test_a_ridge_is_so_much_on_the_diagonal() -> None:
    class Taken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.inv(x)

    model, matrix = Taken(), torch.diag(torch.tensor([0.0, 3.0, 6.0]))
    carry_out(Prescription(ridges={"/linalg_inv#1": 1e-3}), model, seed=0)
    assert torch.allclose(model(matrix).diagonal(), 1.0 / (torch.tensor([0.0, 3.0, 6.0]) + 3e-3))


def test_divisors_of_0_are_kept_from_it_by_their_own_size() -> None:
    assert cure(lambda: sick.Divided(0.0), sick.columns) == "bounded-quotient"
    refused = prescribed("bounded-quotient", sick.Powers(0.0), sick.some_zeros, F.cross_entropy)
    assert refused == "`log` divides by nothing"


def test_what_breaks_late_is_read_in_the_step_that_broke_it() -> None:
    treatment = treat(
        lambda: sick.layers(8, 4),
        sick.apart,
        sick.rooted(1.0),
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=2e-2),
        steps=200,
        workers=1,
        seeds=(0,),
    )
    assert treatment.record.before.healthy
    assert treatment.remedy == "guarded-argument"
    assert any("the untreated training breaks off in step" in note for note in treatment.record.notes)


@pytest.mark.parametrize("tensor", [False, True])
def test_a_factor_on_a_state_is_left_out(tensor: bool) -> None:
    model = sick.Masked(1.6, of_state=True, tensor=tensor)
    found = prescribed("unscaled-state", model, sick.first_of(), F.cross_entropy)
    assert len(found.unscaled) == 24
    carry_out(found, model, seed=0)
    assert alarms(asked(model, sick.first_of(), F.cross_entropy)) == []


@pytest.mark.parametrize("factor", [0.9, 1.0])
def test_one_that_makes_it_no_larger_is_kept(factor: float) -> None:
    model = sick.Masked(factor, of_state=True, tensor=True)
    assert isinstance(prescribed("unscaled-state", model, sick.first_of(), F.cross_entropy), str)


@pytest.mark.slow
def test_a_loop_hands_back_no_more_than_its_last_step_hears() -> None:
    assert cure(lambda: sick.Chaos(free=True), sick.turns, steps=130) == "limited-in-time"
    assert isinstance(prescribed("limited-in-time", sick.Chaos(free=False), sick.turns), str)


def test_the_gradient_is_scaled_down_to_the_limit_and_the_value_stays() -> None:
    def made(limits: dict[str, float]) -> Any:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
        batch = (10.0 * torch.randn(5, 3), torch.zeros(5, 1))
        carry_out(Prescription(limited=limits), model, seed=0)
        run = measure(model, batch, lambda output, target: 100.0 * F.mse_loss(output, target))
        return run.loss, run.reading("0").gradient

    (loss, loud), (same, limited) = made({}), made({"1": 1e-3})
    assert same == loss and loud.norm > 1.0
    assert limited.norm <= 1.01e-3


@pytest.mark.slow
def test_a_backward_that_grows_from_step_to_step_is_that_of_torch() -> None:
    assert cure(lambda: sick.Summed(2.0), sick.delayed) == "plain-function"
    assert isinstance(prescribed("plain-function", sick.Summed(0.5), sick.delayed), str)


@pytest.mark.slow
def test_whole_turns_become_parts_of_one() -> None:
    assert cure(lambda: sick.Clock(1.0), sick.hours) == "partial-turns"
    assert isinstance(prescribed("partial-turns", sick.Clock(24.0), sick.hours), str)


def test_a_factor_is_left_out_that_drowns_the_batch() -> None:
    assert cure(lambda: sick.Noisy(1e-3), sick.itself) == "heard-input"
    assert isinstance(prescribed("heard-input", sick.Noisy(1.0), sick.itself), str)


def test_a_size_that_is_asked_for_is_kept() -> None:
    assert cure(lambda: sick.Sized("divided"), sick.sizes) == "kept-scale"
    assert isinstance(prescribed("kept-scale", sick.Sized("given back"), sick.sizes), str)


def test_a_whole_quotient_becomes_a_true_one() -> None:
    assert cure(lambda: sick.Places(whole=True), sick.grid) == "true-division"
    assert isinstance(prescribed("true-division", sick.Places(whole=False), sick.grid), str)


def test_a_mask_of_everything_is_left_out() -> None:
    assert cure(lambda: sick.Blanks(15.0), sick.words, F.cross_entropy) == "left-out"
    assert isinstance(prescribed("left-out", sick.Blanks(0.15), sick.words, F.cross_entropy), str)


@pytest.mark.slow
def test_rows_are_looked_up_by_their_own_number() -> None:
    assert cure(lambda: sick.Rows(scaled=True), sick.rows) == "unscaled-rounding"
    assert isinstance(prescribed("unscaled-rounding", sick.Rows(scaled=False), sick.rows), str)


@pytest.mark.slow
def test_all_places_are_read_where_one_hears_nothing() -> None:
    assert cure(lambda: sick.Causal(0), sick.themes, F.cross_entropy) == "all-places"
    assert isinstance(prescribed("all-places", sick.Causal(-1), sick.themes, F.cross_entropy), str)
