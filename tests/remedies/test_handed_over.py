"""Remedies that hand a gradient over, keep numbers finite, take parameters in, or draw all weights: each cures, refuses, keeps its law."""

from __future__ import annotations

import copy
import math
from typing import Any

import libcst as cst
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.combine import combine
from photic.remedies.edits import Insertion
from photic.remedies.lines import weight_lines
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.registry import remedies
from photic.remedies.stepping import change_optimizer
from photic.remedies.treat import treat
from tests.remedies.lost import (
    BATCHES,
    Adaptive,
    Angles,
    Bells,
    Divided,
    Exponential,
    Layers,
    Loop,
    MadeAnew,
    OneKey,
    OneKeyInTurns,
    OneOfMany,
    PlainTensor,
    Standardised,
    ThroughNumpy,
    ToWhole,
    TwoNumbers,
    Weighed,
    adam,
    all_alike,
    first_of_many,
    marked,
    weighed,
    words,
    wrong_sign,
)
from tests.remedies.test_catalogue import CATALOGUE, treated

CURED = [
    ("descend", Layers, BATCHES, wrong_sign),
    ("carried-gradient", ThroughNumpy, BATCHES, F.cross_entropy),
    ("wider-bells", Bells, BATCHES, F.cross_entropy),
    ("linear-growth", Exponential, BATCHES, F.cross_entropy),
    ("straight-through", ToWhole, BATCHES, F.cross_entropy),
    ("soft-choice", OneOfMany, BATCHES, F.cross_entropy),
    ("soft-choice", TwoNumbers, BATCHES, F.cross_entropy),
    ("adopted-parameters", MadeAnew, BATCHES, F.cross_entropy),
    ("adopted-parameters", PlainTensor, BATCHES, F.cross_entropy),
    ("softmax-axis", OneKey, marked(), F.cross_entropy),
    ("softmax-axis", OneKeyInTurns, marked(), F.cross_entropy),
    ("log-probabilities", Layers, BATCHES, F.nll_loss),
]


@pytest.mark.parametrize(("name", "build", "batches", "loss"), CURED)
def test_each_cures_what_it_is_for(name: str, build: Any, batches: Any, loss: Any) -> None:
    treatment = treat(build, batches, loss, optimizer=adam, steps=100, workers=1, seeds=(0,))
    assert name in treatment.remedy.split(" + "), treatment.report()
    assert treatment.patch or treatment.paste


def test_what_only_lowers_a_loss_without_a_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the sign nor the loss is changed nothing is a cure, however far below 0 the loss gets."""
    from photic.remedies import choosing as module

    others = tuple(remedy for remedy in remedies() if remedy.name not in ("descend", "standard-loss"))
    monkeypatch.setattr(module, "remedies_for", lambda problems: [r for r in others if problems & set(r.treats)])
    monkeypatch.setattr(module, "remedies", lambda: others)

    def bare(output: Tensor, targets: Tensor) -> Tensor:
        return output.log_softmax(1)[torch.arange(len(targets)), targets].mean()

    treatment = treat(Layers, BATCHES, bare, optimizer=adam, steps=100, workers=1, seeds=(0,))
    assert not treatment.accepted, treatment.report()
    assert not any(trial.outcome == "accepted" for trial in treatment.trials)


def test_what_trains_far_better_in_spite_of_a_finding_relieves_and_says_so() -> None:
    treatment = treated("groups-by-wrong-prefix")
    trial = next(trial for trial in treatment.trials if trial.remedy == treatment.remedy)
    assert treatment.remedy == "own-parameters" and trial.seeds == 1, treatment.report()
    assert trial.brought and set(trial.effects) >= {f"{name} comes with it" for name in trial.brought}
    assert treatment.record.left == trial.brought
    assert "relieved by own-parameters" in treatment.report() and "comes with it" in treatment.report()


def test_weights_that_torch_draws_cure_an_embedding_of_one_number() -> None:
    batches = words()
    graph = Graph.of(measure(all_alike(), batches[0], F.cross_entropy))
    prescription = CATALOGUE["default-weights"].prescribe(graph)
    assert isinstance(prescription, Prescription)
    treatment = treat(
        all_alike, batches, F.cross_entropy, optimizer=adam, steps=100, workers=1, thorough=True, seeds=(0,)
    )
    outcomes = {trial.remedy: trial.outcome for trial in treatment.trials}
    assert outcomes["default-weights"] == "accepted", treatment.report()


def test_factors_of_a_written_out_recurrence_keep_its_state() -> None:
    batches = first_of_many()
    treatment = treat(
        lambda: Loop(matrix=False), batches, F.cross_entropy, optimizer=adam, steps=130, workers=1, seeds=(0,)
    )
    assert treatment.remedy == "kept-state", treatment.report()
    drawn = treatment.setup().model.get_parameter("step")
    assert bool(((drawn >= 0.9) & (drawn < 1.0)).all())


def test_the_matrix_of_a_written_out_recurrence_is_drawn_orthogonal() -> None:
    model = Loop(matrix=True)
    prescription = CATALOGUE["kept-state"].prescribe(Graph.of(measure(model, first_of_many()[0], F.cross_entropy)))
    assert isinstance(prescription, Prescription) and prescription.loops == (("step", "orthogonal"),)
    carry_out(prescription, model, seed=0)
    torch.testing.assert_close(model.step @ model.step.T, torch.eye(32), rtol=0.0, atol=1e-5)


def test_lines_are_put_into_a_constructor_that_stands_on_one_line() -> None:
    source = "class Net:\n    def __init__(self): self.a = 1; self.b = 2\n\n    def f(self): return self.a\n"
    insertion = Insertion(
        "class", "Net", "Net", lambda variable: ["# why", f"for _ in [{variable}]:", f"    {variable}.b = 3"]
    )
    code = cst.parse_module(source).visit(insertion).code
    made: dict[str, Any] = {}
    exec(compile(code, "net.py", "exec"), made)
    net = made["Net"]()
    assert insertion.done and (net.a, net.b, net.f()) == (1, 3, 1) and "        # why\n" in code


@pytest.mark.parametrize(
    "remedy", sorted({name for name, *_ in CURED} | {"finite-values", "fixed-loss-weights", "kept-state", "thawed"})
)
def test_none_of_them_is_for_a_plain_network(remedy: str) -> None:
    said = CATALOGUE[remedy].prescribe(Graph.of(measure(Layers(), BATCHES[0], F.cross_entropy)))
    assert isinstance(said, str) and len(said) > 15


def test_what_comes_back_keeps_its_value_and_gets_the_gradient_of_a_tensor() -> None:
    torch.manual_seed(0)
    model, (x, y) = ThroughNumpy(), BATCHES[0]
    whole, before = Layers(), model(x)
    whole.load_state_dict(model.state_dict())
    graph = Graph.of(measure(model, (x, y), F.cross_entropy))
    prescription = CATALOGUE["carried-gradient"].prescribe(graph)
    assert isinstance(prescription, Prescription)
    carry_out(prescription, model, seed=0)
    assert torch.equal(model(x), before)
    for one in (model, whole):
        F.cross_entropy(one(x), y).backward()
    torch.testing.assert_close(model.below.weight.grad, whole.below.weight.grad)


@pytest.mark.parametrize(
    ("build", "pair", "soft"),
    [
        (OneOfMany, ("/argmax#1", "/one_hot#1"), lambda z: z.softmax(-1)),
        (TwoNumbers, ("/gt#1", "/where#1"), lambda z: 2.0 * torch.sigmoid(z) - 1.0),
    ],
)
def test_a_choice_keeps_its_value_and_lends_what_decides_the_gradient_of_a_mixture(
    build: Any, pair: tuple[str, str], soft: Any
) -> None:
    torch.manual_seed(0)
    model, x = build(), BATCHES[0][0]
    before = model(x)
    carry_out(Prescription(choices=(pair,)), model, seed=0)
    torch.testing.assert_close(model(x), before, rtol=0.0, atol=1e-6)
    model(x).square().sum().backward()
    scores = model.below(x).detach().requires_grad_()
    hard = model.between(scores.detach())
    model.above(hard + soft(scores) - soft(scores).detach()).square().sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(model.below.weight.grad, scores.grad.T @ x, rtol=1e-4, atol=1e-5)


def test_what_was_standardised_outside_gets_the_slope_of_its_columns() -> None:
    torch.manual_seed(0)
    model, (x, y) = Standardised(), BATCHES[0]
    whole, before = copy.deepcopy(model), model(x)
    carry_out(Prescription(bridged=(("below", "above"),)), model, seed=0)
    torch.testing.assert_close(model(x), before)
    F.cross_entropy(model(x), y).backward()
    z = whole.below(x)
    scaled = (z - z.detach().mean(0)) / z.detach().std(
        0, correction=0
    )  # mean and deviation are numbers, as outside torch
    F.cross_entropy(whole.above(scaled), y).backward()
    torch.testing.assert_close(model.below.weight.grad, whole.below.weight.grad, rtol=1e-4, atol=1e-6)


def test_finite_numbers_stay_to_the_bit_and_infinite_slopes_count_nothing() -> None:
    torch.manual_seed(0)
    model, x = Divided(), BATCHES[0][0]
    x = torch.cat([x, torch.zeros(1, 16)])  # nothing passes there: 0 / 0
    plain = copy.deepcopy(model)
    carry_out(Prescription(finite=("/div#1",)), model, seed=0)
    value, other = model(x), plain(x)
    good = torch.isfinite(other).all(1)
    assert not bool(good.all()) and torch.equal(value[good], other[good]) and bool(torch.isfinite(value).all())
    value.sum().backward()
    plain(x[good]).sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)
    torch.testing.assert_close(model.below.weight.grad, plain.below.weight.grad)


@pytest.mark.parametrize(
    ("field", "value"), [("guards", {"/acos#1": (-1.0 + 1e-6, 1.0 - 1e-6)}), ("finite", ("/acos#1",))]
)
def test_an_arc_cosine_passes_finite_slopes_alone(field: str, value: Any) -> None:
    model = Angles()
    x = 100.0 * BATCHES[0][0]  # most cosines are 1 or -1
    changed: Any = {field: value}
    carry_out(Prescription(**changed), model, seed=0)
    model(x).sum().backward()
    gradient = model.below.weight.grad
    assert gradient is not None and bool(torch.isfinite(gradient).all())


def test_a_division_is_guarded_with_the_sign_of_what_is_below() -> None:
    class Quotient(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1.0 / x

    model = Quotient()
    carry_out(Prescription(denominators={"/div#1": 1e-3, "/reciprocal#1": 1e-3, "/rdiv#1": 1e-3}), model, seed=0)
    x = torch.tensor([-2.0, -1e-6, 0.0, 1e-6, 4.0], requires_grad=True)
    with torch.no_grad():
        expected = torch.tensor([-0.5, -1e3, 1e3, 1e3, 0.25])
    torch.testing.assert_close(model(x), expected)


def test_adopted_parameters_are_made_once_and_held_by_the_optimizer() -> None:
    model, x = MadeAnew(), BATCHES[0][0]
    assert not torch.equal(model(x), model(x))
    optimizer = adam(model)
    prescription = Prescription(adopted=("<Linear>",))
    state = torch.get_rng_state()
    carry_out(prescription, model, seed=0, batch=BATCHES[0])
    assert torch.equal(torch.get_rng_state(), state)
    change_optimizer(prescription, optimizer, model)
    assert torch.equal(model(x), model(x))
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert len(list(model.parameters())) == 4 and held == {id(parameter) for parameter in model.parameters()}


def test_a_tensor_that_the_model_keeps_is_reported_and_one_made_in_the_forward_is_not() -> None:
    class Sensitive(Layers):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach().clone().requires_grad_())

    def problems(model: nn.Module) -> set[str]:
        from photic.checkups.check import check

        return {finding.problem for finding in check(model, BATCHES, F.cross_entropy, adam(model)).findings}

    assert "severed-unregistered-module" in problems(PlainTensor())
    assert "severed-unregistered-module" not in problems(Sensitive())


def test_a_users_own_clipping_gives_way_to_the_new_limit() -> None:
    torch.manual_seed(0)
    model, (x, y) = Layers(), BATCHES[0]
    optimizer = Adaptive(model.parameters(), lr=1.0)
    change_optimizer(Prescription(clip_limit=0.5), optimizer, model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    F.cross_entropy(model(x), y).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
    optimizer.step()
    moved = math.sqrt(
        sum(float((p.detach() - old).square().sum()) for p, old in zip(model.parameters(), before, strict=True))
    )
    assert moved == pytest.approx(min(norm, 0.5), rel=1e-4)


def test_a_treatment_draws_nothing_from_the_users_generator() -> None:
    class Noisy(Layers):
        def between(self, x: Tensor) -> Tensor:
            return torch.sigmoid(x + 0.01 * torch.randn_like(x))

    for batches in (BATCHES, BATCHES[:1]):
        before = torch.get_rng_state()
        treat(Noisy, batches, F.cross_entropy, optimizer=adam, steps=100, workers=1, seeds=(0,))
        assert torch.equal(torch.get_rng_state(), before)


def test_all_weights_drawn_anew_would_undo_others_and_lines_name_every_part() -> None:
    fresh, loop = Prescription(fresh=True, why="a"), Prescription(loops=(("step", "orthogonal"),), why="b")
    drawn = Prescription(layers=(LayerInitialisation("enter", "enter.weight", "enter.bias", "he"),), why="c")
    assert combine(fresh, loop) is None and combine(fresh, drawn) is None
    both = combine(loop, drawn)
    assert both is not None
    lines = "\n".join(weight_lines(both, None, "model"))
    assert "orthogonal_" in lines and "kaiming_normal_" in lines


def test_weights_of_a_loss_that_are_not_trained_stay() -> None:
    model = Weighed()
    carry_out(Prescription(frozen=("shares",)), model, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = BATCHES[0]
    weighed(model(x), y, model).backward()
    optimizer.step()
    assert torch.equal(model.shares, torch.ones(2)) and model.below.weight.grad is not None
