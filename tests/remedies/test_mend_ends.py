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
from tests.diagnosis import ends
from tests.diagnosis.held import alarms, asked


def cure(build: Any, batches: Any, loss: Any = F.mse_loss, *, rate: float = 1e-2, steps: int = 120) -> str:
    treatment = treat(
        build,
        batches,
        loss,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=rate),
        steps=steps,
        workers=1,
    )
    return treatment.remedy


def prescribed(remedy: str, model: nn.Module, batches: Any, loss: Any = F.mse_loss) -> Any:
    run = asked(model, batches, loss, steps=20).run
    return next(one for one in remedies() if one.name == remedy).prescribe(Graph.of(run))


def test_a_logarithm_whose_slope_a_power_meets_is_kept_from_0() -> None:
    assert cure(lambda: ends.Powers(0.0), ends.some_zeros, F.cross_entropy) == "guarded-argument"


def test_a_singular_matrix_gets_a_ridge() -> None:
    model, loss = ends.layers(8, 4), ends.spread_out(0.0)
    found = prescribed("ridged-matrix", model, ends.columns, loss)
    assert alarms(asked(model, ends.columns, substitute_loss(found, model, loss))) == []
    refused = prescribed("ridged-matrix", ends.Powers(0.0), ends.some_zeros, F.cross_entropy)
    assert refused == "`log` takes no square matrix"


def test_a_ridge_is_so_much_on_the_diagonal() -> None:
    class Taken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.inv(x)

    model, matrix = Taken(), torch.diag(torch.tensor([0.0, 3.0, 6.0]))
    carry_out(Prescription(ridges={"/linalg_inv#1": 1e-3}), model, seed=0)
    assert torch.allclose(model(matrix).diagonal(), 1.0 / (torch.tensor([0.0, 3.0, 6.0]) + 3e-3))


def test_divisors_of_0_are_kept_from_it_by_their_own_size() -> None:
    assert cure(lambda: ends.Divided(0.0), ends.columns) == "bounded-quotient"
    refused = prescribed("bounded-quotient", ends.Powers(0.0), ends.some_zeros, F.cross_entropy)
    assert refused == "`log` divides by nothing"


def test_what_breaks_late_is_read_in_the_step_that_broke_it() -> None:
    treatment = treat(
        lambda: ends.layers(8, 4),
        ends.apart,
        ends.rooted(1.0),
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=2e-2),
        steps=300,
        workers=1,
    )
    assert treatment.record.before.healthy
    assert treatment.remedy == "guarded-argument"
    assert any("the untreated training breaks off in step" in note for note in treatment.record.notes)


@pytest.mark.parametrize("tensor", [False, True])
def test_a_factor_on_a_state_is_left_out(tensor: bool) -> None:
    model = ends.Masked(1.6, of_state=True, tensor=tensor)
    found = prescribed("unscaled-state", model, ends.first_of(), F.cross_entropy)
    assert len(found.unscaled) == 24
    carry_out(found, model, seed=0)
    assert alarms(asked(model, ends.first_of(), F.cross_entropy)) == []


@pytest.mark.parametrize("factor", [0.9, 1.0])
def test_one_that_makes_it_no_larger_is_kept(factor: float) -> None:
    model = ends.Masked(factor, of_state=True, tensor=True)
    assert isinstance(prescribed("unscaled-state", model, ends.first_of(), F.cross_entropy), str)


def test_a_loop_hands_back_no_more_than_its_last_step_hears() -> None:
    assert cure(lambda: ends.Chaos(free=True), ends.turns, steps=200) == "limited-in-time"
    assert isinstance(prescribed("limited-in-time", ends.Chaos(free=False), ends.turns), str)


def test_the_gradient_is_scaled_down_to_the_limit_and_the_value_stays() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    batch, before = (10.0 * torch.randn(5, 3), torch.zeros(5, 1)), None
    for limit in (None, 1e-3):
        if limit is not None:
            carry_out(Prescription(limited={"1": limit}), model, seed=0)
        run = measure(model, batch, lambda output, target: 100.0 * F.mse_loss(output, target))
        before = run.loss if limit is None else before
        norm = run.reading("1").gradient
        assert run.loss == before
        assert norm is not None
    assert run.reading("0").gradient.norm <= 1.01e-3  # pyright: ignore[reportOptionalMemberAccess]


def test_a_backward_that_grows_from_step_to_step_is_that_of_torch() -> None:
    assert cure(lambda: ends.Summed(2.0), ends.delayed) == "plain-function"
    assert isinstance(prescribed("plain-function", ends.Summed(0.5), ends.delayed), str)


def test_whole_turns_become_parts_of_one() -> None:
    assert cure(lambda: ends.Clock(1.0), ends.hours) == "partial-turns"
    assert isinstance(prescribed("partial-turns", ends.Clock(24.0), ends.hours), str)


def test_a_factor_is_left_out_that_drowns_the_batch() -> None:
    assert cure(lambda: ends.Noisy(1e-3), ends.itself) == "heard-input"
    assert isinstance(prescribed("heard-input", ends.Noisy(1.0), ends.itself), str)


def test_a_size_that_is_asked_for_is_kept() -> None:
    assert cure(lambda: ends.Sized("divided"), ends.sizes) == "kept-scale"
    assert isinstance(prescribed("kept-scale", ends.Sized("given back"), ends.sizes), str)


def test_a_whole_quotient_becomes_a_true_one() -> None:
    assert cure(lambda: ends.Places(whole=True), ends.grid) == "true-division"
    assert isinstance(prescribed("true-division", ends.Places(whole=False), ends.grid), str)


def test_a_mask_of_everything_is_left_out() -> None:
    assert cure(lambda: ends.Blanks(15.0), ends.words, F.cross_entropy) == "left-out"
    assert isinstance(prescribed("left-out", ends.Blanks(0.15), ends.words, F.cross_entropy), str)


def test_rows_are_looked_up_by_their_own_number() -> None:
    assert cure(lambda: ends.Rows(scaled=True), ends.rows) == "unscaled-rounding"
    assert isinstance(prescribed("unscaled-rounding", ends.Rows(scaled=False), ends.rows), str)


def test_all_places_are_read_where_one_hears_nothing() -> None:
    assert cure(lambda: ends.Causal(0), ends.themes, F.cross_entropy) == "all-places"
    assert isinstance(prescribed("all-places", ends.Causal(-1), ends.themes, F.cross_entropy), str)
