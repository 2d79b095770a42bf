"""Cures of logarithms that overflow, loops that run away, slopes of slopes, rows that are another axis, bytes below 1 and turned masks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import treat
from photic.checkups.training import evaluate
from photic.diagnosis.graph import Graph
from photic.remedies.around import setup_lines
from photic.remedies.carry_out import carry_out, substitute_loss
from photic.remedies.finite import Denominator
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedies
from photic.remedies.stable_logs import STABLE, WORDS
from tests.diagnosis import late_and_alike as sick
from tests.diagnosis import wrong_ways as wrong_way
from tests.diagnosis.held import alarms, asked


def prescribed(remedy: str, model: nn.Module, batches: Any, loss: Any = F.cross_entropy, *, steps: int = 20) -> Any:
    run = asked(model, batches, loss, steps=steps).run
    return next(one for one in remedies() if one.name == remedy).prescribe(Graph.of(run))


def cure(build: Any, batches: Any, loss: Any = F.cross_entropy, *, steps: int, rate: float = 1e-2) -> Any:
    def adam(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=rate)

    return treat(build, batches, loss, optimizer=adam, steps=steps, workers=1, seeds=(0,))


FUNCTIONS: dict[str, Any] = {
    "exp": torch.exp, "i0": torch.i0, "special_i0": torch.special.i0, "cosh": torch.cosh, "erfc": torch.erfc,
    "special_erfc": torch.special.erfc, "special_ndtr": torch.special.ndtr, "sigmoid": torch.sigmoid,
    "special_expit": torch.special.expit, "softmax": lambda x: torch.softmax(x, -1),
    "det": torch.det, "linalg_det": torch.linalg.det,
}  # fmt: skip


class Logged(nn.Module):
    """The logarithm of a function of what enters."""

    def __init__(self, operation: str, base: str = "log") -> None:
        super().__init__()
        self.function, self.base = FUNCTIONS[operation], base

    def forward(self, x: Tensor) -> Tensor:
        return getattr(torch, self.base)(self.function(x))


@pytest.mark.parametrize("operation", FUNCTIONS)
def test_a_logarithm_in_one_piece_is_that_of_the_formula_and_finite_where_it_is_not(operation: str) -> None:
    assert set(FUNCTIONS) == set(STABLE) == set(WORDS)
    square = torch.eye(4) + 0.1 * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    x = square if "det" in operation else torch.linspace(-3.0, 3.0, 13)
    sites = {"special_expit": "sigmoid"}.get(operation, operation)  # torch's own is the same function
    model = Logged(operation)
    plain = model(x)
    carry_out(Prescription(stable_logs=((f"/{sites}#1", "/log#1", sites, 1.0),)), model, seed=0)
    assert torch.allclose(model(x), plain, atol=2e-6)
    far = (1e-12 * square if "det" in operation else 300.0 * x).requires_grad_()
    made = model(far)
    made.sum().backward()
    assert made.isfinite().all() and far.grad is not None and far.grad.isfinite().all()
    assert not Logged(operation)(far).isfinite().all()


@pytest.mark.parametrize(("base", "of_ten"), [("log2", 3.3219281), ("log10", 1.0)])
def test_the_base_of_a_logarithm_stays(base: str, of_ten: float) -> None:
    model = Logged("exp", base)
    carry_out(Prescription(stable_logs=(("/exp#1", f"/{base}#1", "exp", 1.0),)), model, seed=0)
    assert float(model(torch.tensor(2302.5851))) == pytest.approx(1000.0 * of_ten, rel=1e-5)


def test_a_likelihood_that_overflows_is_computed_in_one_piece() -> None:
    treatment = cure(sick.Wind, sick.winds(), sick.plain_likelihood, steps=40)
    assert treatment.remedy == "stable-logarithm", treatment.report()
    refused = prescribed("stable-logarithm", sick.Poles(free=True), sick.waves())
    assert refused == "no logarithm is taken of what `exp` makes"


def test_a_number_before_the_function_stays_under_the_logarithm() -> None:
    given = prescribed("stable-logarithm", sick.Wind(), sick.winds(), sick.density)
    treated = substitute_loss(given, nn.Module(), sick.density)
    mean, kappa, angle = torch.zeros(5), torch.linspace(0.5, 9.0, 5), torch.linspace(-1.0, 1.0, 5)
    assert float(treated((mean, kappa), angle)) == pytest.approx(float(sick.density((mean, kappa), angle)), rel=1e-6)
    assert not sick.density((mean, 100.0 * kappa), angle).isfinite()
    assert treated((mean, 100.0 * kappa), angle).isfinite()
    assert "plus log(6.28319)" in "\n".join(setup_lines(given))


def test_poles_that_may_grow_are_made_to_fall() -> None:
    found = prescribed("falling-exponential", sick.Poles(free=True), sick.waves())
    assert found.mapped == {"/exp#1": "negative"}
    model = sick.Poles(free=True)
    carry_out(found, model, seed=0)
    assert "non-finite" not in alarms(asked(model, sick.waves()))
    assert isinstance(prescribed("falling-exponential", sick.Poles(free=False), sick.waves()), str)


@pytest.mark.parametrize(
    ("build", "batches", "name"),
    [(sick.Oscillator, sick.paths, "rates"), (sick.Automaton, sick.words, "moves.weight"), (sick.Filter, sick.sounds, "back")],
)  # fmt: skip
def test_what_a_loop_adds_or_multiplies_by_starts_small(build: Any, batches: Any, name: str) -> None:
    given, loss = batches()
    found = prescribed("quiet-loop", build(1.0), given, loss)
    assert found.scaled == {name: 0.01}
    assert not {"non-finite", "exploding-in-time"} & set(alarms(asked(build(0.01), given, loss)))


def test_a_loop_that_keeps_its_state_by_a_gate_is_left() -> None:
    for build in (lambda: nn.LSTM(4, 8, batch_first=True), lambda: nn.Linear(4, 3)):
        model = nn.Sequential(build(), sick.Last(), nn.LazyLinear(3))
        model(torch.zeros(2, 6, 4))
        assert isinstance(prescribed("quiet-loop", model, sick.waves(4)), str)


def test_slopes_of_slopes_count_0_where_they_have_none() -> None:
    treatment = cure(lambda: sick.Forces(inner=False), sick.atoms(), sick.of_forces, steps=50)
    assert treatment.remedy == "finite-slopes", treatment.report()
    assert prescribed("finite-slopes", sick.Poles(free=True), sick.waves()) == "no slope is taken on the way"


def test_the_loss_of_forces_is_taken_on_held_back_batches_too() -> None:
    model = sick.Forces(inner=True)
    assert evaluate(model, sick.of_forces, sick.atoms()[:1]) > 0.0  # they are slopes, which need a graph
    assert all(p.grad is None for p in model.parameters()) and torch.is_grad_enabled()


def test_what_a_cure_brings_to_light_is_cured_with_it() -> None:
    treatment = cure(sick.Hidden, sick.rays(), F.mse_loss, steps=60)
    assert treatment.remedy.startswith("finite-values + "), treatment.report()
    alone = next(trial for trial in treatment.trials if trial.remedy == "finite-values")
    assert alone.outcome == "refused" and alone.brought == ("dead-units",)
    assert alarms(treatment.record.after) == []


def test_states_are_folded_into_the_rows_of_their_own_example() -> None:
    model = sick.Names(batch_major=False)
    found = prescribed("rows-first", model, sick.letters())
    assert found.rows_first == ("/reshape#1",)
    right, letters = sick.Names(batch_major=True), sick.letters()[0][0]
    right.load_state_dict(model.state_dict())
    carry_out(found, model, seed=0)
    assert torch.equal(model(letters), right(letters))
    assert isinstance(prescribed("rows-first", right, sick.letters()), str)


def test_bytes_of_numbers_below_1_are_scaled_first() -> None:
    found = prescribed("scaled-rounding", sick.Tiles(1.0), sick.tiles())
    assert found.factors == {"/to#1": 255.0}
    model = sick.Tiles(1.0)
    carry_out(found, model, seed=0)
    assert torch.equal(model(sick.tiles()[0][0]), sick.Tiles(255.0)(sick.tiles()[0][0]))
    assert isinstance(prescribed("scaled-rounding", sick.Tiles(255.0), sick.tiles()), str)


def test_a_relu_below_a_logarithm_becomes_a_softplus() -> None:
    class Rates(nn.Module):
        def __init__(self, how: Any) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last, self.how = nn.Linear(4, 24), nn.Linear(24, 1), how

        def forward(self, x: Tensor) -> Tensor:
            return self.how(self.last(torch.tanh(self.first(x)))).squeeze(1)

    def poisson(rate: Tensor, count: Tensor) -> Tensor:
        return (rate - count * torch.log(rate) + torch.lgamma(rate)).mean()

    given = [(x, (3.0 * y).round() + 1.0) for x, y in sick.rays()]
    found = prescribed("smooth-source", Rates(torch.relu), given, poisson)
    assert found.activations == {"/relu#1": "softplus"}
    model = Rates(torch.relu)
    carry_out(found, model, seed=0)
    assert "non-finite" not in alarms(asked(model, given, poisson))
    said = prescribed("smooth-source", Rates(F.softplus), given, poisson)
    assert isinstance(said, str)


@pytest.mark.parametrize(
    ("remedy", "build", "batches", "field", "site"),
    [
        ("own-axis", wrong_way.Sorted, wrong_way.clouds, "axes", {"/sort#1": 1}),
        ("channels-last", wrong_way.Map, wrong_way.maps, "channels_last", ("/reshape#1",)),
        ("one-gate", wrong_way.Experts, wrong_way.tariffs, "activations", {"/softmax#1": "sigmoid"}),
        ("turned-mask", wrong_way.Crowd, wrong_way.crowds, "turned_masks", ("/masked_fill#1",)),
        ("carried-state", wrong_way.Curve, wrong_way.curves, "carried", tuple(pairwise(["cell", *(f"cell#{turn}" for turn in range(2, 9))]))),
        ("added-results", wrong_way.Tower, wrong_way.ratings, "skips", (("/relu#1", "gmf"),)),
    ],
)  # fmt: skip
def test_what_goes_along_the_wrong_axis_or_is_passed_by_is_mended(
    remedy: str, build: Any, batches: Any, field: str, site: Any
) -> None:
    given, loss = batches()
    found = prescribed(remedy, build(wrong=True), given, loss)
    assert getattr(found, field) == site
    assert isinstance(prescribed(remedy, build(wrong=False), given, loss), str)
    if remedy != "added-results":  # what is added is not what a person would write
        model, right = build(wrong=True), build(wrong=False)
        carry_out(found, model, seed=0)
        if remedy != "one-gate":
            assert torch.allclose(model(given[0][0]), right(given[0][0]), atol=1e-6)
        assert not {"idle-layer", "saturated-attention"} & set(alarms(asked(model, given, loss)))


def test_a_mask_that_lets_through_padding_alone_is_turned() -> None:
    found = prescribed("turned-mask", sick.Reader(turned=True), sick.facts())
    assert found.turned_masks == ("attn/scaled_dot_product_attention#1",)
    assert isinstance(prescribed("turned-mask", sick.Reader(turned=False), sick.facts()), str)


def test_a_plain_number_that_divides_is_kept_from_0() -> None:
    class Divided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.softmax(x / 0.0, -1)

    model, x = Divided(), torch.tensor([1.0, 2.0, 3.0])
    assert not model(x).isfinite().all()
    carry_out(Prescription(denominators={"/div#1": 1e-7}), model, seed=0)
    assert torch.equal(model(x), torch.tensor([0.0, 0.0, 1.0])) and Denominator(0.5).least == 0.5
