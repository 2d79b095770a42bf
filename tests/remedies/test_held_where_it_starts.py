"""Cures of factors, thresholds and numbers that hold a network where it starts, on networks of a few layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from photic import treat
from photic.diagnosis.graph import Graph
from photic.remedies.carry_out import carry_out
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedies
from photic.remedies.treat import Treatment
from tests.diagnosis.held import (
    BATCHES,
    KINDS,
    SICK,
    Branch,
    Codes,
    Corrected,
    Cut,
    Factors,
    Normalised,
    Products,
    Snakes,
    Tables,
    Threshold,
    alike,
    asked,
    classes,
    drawn,
    field,
    halves,
    matching,
    normal,
    numbers,
    pairs,
    plain,
    positive,
    scaled,
    seldom,
    shuffled,
    sure,
    welsch,
)
from tests.diagnosis.held_answers import (
    Averaged,
    Ordered,
    Views,
    alike_and_named,
    tones,
    words,
)


def adam(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def treated(build: Any, batches: Any = None, loss: Any = F.cross_entropy, *, steps: int = 120) -> Treatment:
    return treat(
        build, classes() if batches is None else batches, loss, optimizer=adam, steps=steps, workers=1, seeds=(0,)
    )


def prescribed(remedy: str, model: torch.nn.Module, batches: Any = None, loss: Any = F.cross_entropy) -> Any:
    run = asked(model, batches, loss, steps=20).run
    return next(one for one in remedies() if one.name == remedy).prescribe(Graph.of(run))


def test_a_branch_times_zero_is_let_through() -> None:
    assert treated(lambda: Branch(0.0), shuffled).remedy == "heard-branch"
    assert treated(lambda: Corrected(0.0)).remedy == "heard-branch"
    assert isinstance(prescribed("heard-branch", Branch(0.5)), str)


def test_a_gate_that_a_relu_holds_at_zero_is_opened() -> None:
    assert treated(lambda: Cut(-0.5, learned=True), shuffled).remedy == "open-gate"
    assert isinstance(prescribed("open-gate", Branch(0.0)), str)


def test_a_factor_that_follows_is_counted() -> None:
    class Dropped(Branch):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.relu(self.branch(x)) * torch.zeros(32) / 0.001
            return self.up(self.way(x)) + self.head(hidden)

    found = prescribed("heard-branch", Dropped(1.0))
    assert isinstance(found, Prescription) and [round(v, 9) for v in found.opened.values()] == [0.001]


def test_a_threshold_above_the_signal_gives_way_to_zero() -> None:
    assert treated(lambda: Threshold(9.0)).remedy == "zero-threshold"
    assert isinstance(prescribed("zero-threshold", Threshold(0.0)), str)


@pytest.mark.slow
def test_epsilons_become_small_beside_what_they_are_added_to() -> None:
    for kind in KINDS:
        found = prescribed("smaller-epsilon", Normalised(kind, SICK[kind]), classes(1e-6))
        assert isinstance(found, Prescription) and len(found.epsilons) == 1, kind
        setup = treated(lambda kind=kind: Normalised(kind, SICK[kind]), classes(1e-6))
        assert setup.remedy in ("smaller-epsilon", "standardised-input", "tested-learning-rate"), kind
        assert setup.setup("smaller-epsilon") is not None
    assert isinstance(prescribed("smaller-epsilon", Normalised("batch", 1e-5)), str)


def test_the_new_epsilon_is_the_one_that_is_used() -> None:
    for kind in KINDS:
        model = Normalised(kind, SICK[kind])
        found = prescribed("smaller-epsilon", model, classes(1e-6))
        carry_out(found, model, seed=0)
        x = 1e-6 * BATCHES[0][0]
        assert torch.allclose(model(x), Normalised(kind, 1e-30)(x), rtol=1e-2, atol=1e-2), kind


def test_matrices_of_products_are_drawn_at_the_size_that_is_wanted() -> None:
    for start in (normal, positive):
        assert treated(lambda start=start: Products(start), numbers, F.mse_loss).remedy == "scaled-products"
    assert isinstance(prescribed("scaled-products", Products(scaled), numbers, F.mse_loss), str)
    # What is drawn is not what is multiplied with.
    assert isinstance(prescribed("scaled-products", Products(normal, positive=True), numbers, F.mse_loss), str)


def test_tables_of_a_factorisation_are_drawn_small() -> None:
    found = treated(lambda: Tables(1.5), pairs, F.mse_loss)
    assert found.remedy == "small-tables"
    assert "normal_" in found.patch + found.paste
    assert isinstance(prescribed("small-tables", Tables(0.2), pairs, F.mse_loss), str)


def test_cosines_are_divided_by_a_temperature() -> None:
    assert treated(Codes, halves, matching(0.1)).remedy == "sharper-scores"
    assert isinstance(prescribed("sharper-scores", Codes(), halves, matching(10.0)), str)


def linear() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(16, 1)


def sums() -> Iterator[Any]:
    return iter([(x, 0.25 * x.sum(1, keepdim=True)) for x, _ in BATCHES])


def test_a_squared_error_of_a_probability_gives_way_to_its_cross_entropy() -> None:
    assert prescribed("standard-loss", sure(-11.0), seldom, F.mse_loss).standard_loss
    assert treated(linear, sums, welsch(0.1)).remedy == "standard-loss"
    assert isinstance(prescribed("standard-loss", plain(), numbers, F.mse_loss), str)


@pytest.mark.slow
def test_waves_that_go_around_too_often_are_slowed() -> None:
    adam_ = lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)  # noqa: E731
    found = treat(lambda: Snakes(5.0), field, F.mse_loss, optimizer=adam_, steps=100, workers=1, seeds=(0,))
    assert found.remedy == "slower-waves" and "constant_" in (found.patch or found.paste)
    assert isinstance(prescribed("slower-waves", Snakes(0.0), field, F.mse_loss), str)


def test_tables_of_one_number_are_drawn() -> None:
    assert treated(lambda: Factors(alike), pairs, F.mse_loss, steps=130).remedy == "drawn-tables"
    assert isinstance(prescribed("drawn-tables", Factors(drawn), pairs, F.mse_loss), str)


def test_a_mean_is_taken_of_what_was_not_centred() -> None:
    assert treated(lambda: Averaged(last=True), tones, steps=130).remedy == "uncentred-mean"
    assert isinstance(prescribed("uncentred-mean", Averaged(last=False), tones), str)


def test_answers_are_put_back_into_the_order_of_their_rows() -> None:
    found = treated(lambda: Ordered(back=False), words)
    assert found.remedy == "answers-in-order"
    model = found.setup().model
    tokens = next(words())[0]
    plain_one = Ordered(back=True)
    plain_one.load_state_dict(model.state_dict())
    assert torch.allclose(model(tokens), plain_one(tokens))
    assert isinstance(prescribed("answers-in-order", Ordered(back=True), words), str)


def test_rows_that_were_put_back_stay_there() -> None:
    model = Ordered(back=True)
    tokens = next(words())[0]
    before = model(tokens)
    carry_out(Prescription(in_order=True), model, seed=0)
    assert torch.equal(model(tokens), before)


def test_a_goal_stays_where_it_is() -> None:
    found = treated(lambda: Views(stop=False), loss=alike_and_named, steps=130)
    assert any(trial.remedy == "stopped-goal" for trial in found.trials)
    assert isinstance(prescribed("stopped-goal", Views(stop=True), loss=alike_and_named), str)
    x, gradients = BATCHES[0][0], []
    for model in (Views(stop=False), Views(stop=True)):
        if not model.stop:
            carry_out(Prescription(goals=(("encoder.3#2", "/cosine_similarity#1"),)), model, seed=0)
        torch.manual_seed(1)
        model(x)[0].backward()
        gradients.append(model.encoder[0].weight.grad)
    assert torch.allclose(*gradients)
