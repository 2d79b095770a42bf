"""What travels inside the treated set-up: a plain loop gets clipping, warm-up, units and ownership without knowing of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.checkups.setup import Setup, endless
from photic.checkups.training import train
from photic.diagnosis.graph import Graph
from photic.lab.clinic.case import cases
from photic.probes.audit import measure
from photic.remedies.around import setup_lines
from photic.remedies.carry_out import carry_out
from photic.remedies.material import Material
from photic.remedies.patch import write_patch
from photic.remedies.prescription import Prescription
from photic.remedies.range_test import with_rate
from photic.remedies.treated import treated_setup
from photic.remedies.units import standardise_input


def regression(scale: float = 1.0, shift: float = 0.0, rate: float = 0.1) -> Material:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(8):
        x = torch.randn(32, 4, generator=generator)
        batches.append((x * torch.tensor([1.0, 10.0, 100.0, 1000.0]) + 5.0, scale * x[:, :1] + shift))
    return Material.collect(
        lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)),
        batches,
        F.mse_loss,
        lambda model: torch.optim.SGD(model.parameters(), lr=rate),
        steps=20,
    )


def gradient(setup: Setup, batch: Any) -> Tensor:
    setup.model.zero_grad()
    assert setup.loss is not None
    setup.loss(setup.model(batch[0]), batch[1]).backward()
    return torch.cat([p.grad.flatten() for p in setup.model.parameters() if p.grad is not None])


def test_the_first_layer_sees_columns_of_mean_0_and_deviation_1() -> None:
    material = regression()
    setup = treated_setup(material, Prescription(standardised_input=True), seed=0)
    seen: list[Tensor] = []
    layer: Any = setup.model[0]  # pyright: ignore
    layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    for x, _ in material.training:
        setup.model(x)
    entered = torch.cat(seen)
    torch.testing.assert_close(entered.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(entered.std(0, correction=0), torch.ones(4), atol=1e-4, rtol=0)


def test_a_treated_target_trains_as_if_it_had_been_standardised() -> None:
    """The weights' gradient equals that of the plain model on (y - mean) / deviation, and the loss keeps its units."""
    material = regression(scale=500.0, shift=3000.0)
    y = torch.cat([targets for _, targets in material.training]).double()
    mean, deviation = float(y.mean()), float(y.std(correction=0))
    treated = treated_setup(material, Prescription(standardised_target=True), seed=0)
    plain = treated_setup(material, None, seed=0)
    x, target = material.training[0]
    torch.testing.assert_close(
        gradient(treated, (x, target)), gradient(plain, (x, (target - mean) / deviation)), rtol=1e-3, atol=1e-5
    )
    assert treated.loss is not None and plain.loss is not None
    own = float(treated.loss(treated.model(x), target).detach())
    assert own == pytest.approx(
        float(plain.loss(plain.model(x), (target - mean) / deviation).detach()) * deviation**2, rel=1e-3
    )


def test_loss_scaling_leaves_the_training_as_it_was_and_the_gradient_scaled_before_the_step() -> None:
    material = regression()
    scaled = treated_setup(material, Prescription(loss_scale=2.0**16), seed=0)
    plain = treated_setup(material, None, seed=0)
    batch = material.training[0]
    torch.testing.assert_close(gradient(scaled, batch), 2.0**16 * gradient(plain, batch), rtol=0, atol=0)
    assert train(scaled, material.stream(0), 5) == train(plain, material.stream(0), 5)


def test_a_warm_up_rises_to_the_users_rate_and_clipping_bounds_the_step() -> None:
    material = regression()
    setup = treated_setup(material, Prescription(warmup=4), seed=0)
    rates = []
    for _ in range(6):
        train(setup, material.stream(0), 1)
        rates.append(setup.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    clipped = treated_setup(material, Prescription(clip=1e-3), seed=0)
    before = [p.detach().clone() for p in clipped.model.parameters()]
    train(clipped, material.stream(0), 1)
    moved = math.hypot(
        *(float((p - b).detach().norm()) for p, b in zip(clipped.model.parameters(), before, strict=True))
    )
    assert moved == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_the_optimizer_gets_hidden_modules_and_lets_go_of_foreign_ones() -> None:
    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [nn.Linear(4, 4), nn.Linear(4, 4)]
            self.by_name = {"a": nn.Linear(4, 4)}
            self.head = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.hidden:
                x = torch.tanh(layer(x))
            return self.head(self.by_name["a"](x))

    foreign = nn.Linear(1, 1)
    material = replace(
        regression(),
        build=Hiding,
        optimizer=lambda m: torch.optim.SGD([*m.head.parameters(), *foreign.parameters()], 0.1),
    )
    setup = treated_setup(material, Prescription(registered=True), seed=0)
    held = {id(p) for group in setup.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in setup.model.parameters()} and len(held) == 8
    before = [p.detach().clone() for p in setup.model.parameters()]
    train(setup, material.stream(0), 1)
    assert all(not torch.equal(p, b) for p, b in zip(setup.model.parameters(), before, strict=True))


def test_gradients_that_nobody_clears_are_cleared() -> None:
    class Forgetful(torch.optim.SGD):
        def zero_grad(self, set_to_none: bool = True) -> None:
            """Forget to."""

    material = replace(regression(rate=1e-3), optimizer=lambda m: Forgetful(m.parameters(), 1e-3))
    cured = treated_setup(material, Prescription(zeroed=True), seed=0)
    careful = treated_setup(regression(rate=1e-3), None, seed=0)
    sick = treated_setup(material, None, seed=0)
    wanted = train(careful, material.stream(0), 6)
    assert train(cured, material.stream(0), 6) == wanted
    assert train(sick, material.stream(0), 6) != wanted


def test_a_rounding_keeps_its_value_and_hands_the_gradient_on() -> None:
    class Rounding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.above = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.above(torch.round(self.below(x)))

    model, x = Rounding(), torch.randn(8, 4)
    value = model(x).detach()
    carry_out(Prescription(straight=("/round#1",)), model, seed=0)
    torch.testing.assert_close(model(x), value)
    model(x).sum().backward()
    assert model.below.weight.grad is not None
    torch.testing.assert_close(model.below.weight.grad, (8 * x.mean(0)).expand(4, 4) * model.above.weight[0][:, None])


def test_a_connection_around_a_layer_adds_what_entered_it() -> None:
    model = nn.Sequential(*[layer for _ in range(3) for layer in (nn.Linear(4, 4), nn.Tanh())])
    x = torch.randn(8, 4)
    first = torch.tanh(model[0](x))
    second = torch.tanh(model[2](first)) + first
    wanted = torch.tanh(model[4](second)) + second
    carry_out(Prescription(skips=(("1", "3"), ("3", "5"))), model, seed=0)
    torch.testing.assert_close(model(x), wanted)


def test_a_connection_and_another_change_of_the_same_call_are_both_carried_out() -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh()), torch.randn(8, 4)
    first = torch.relu(model[0](x))
    wanted = torch.relu(model[2](first)) + first
    carry_out(Prescription(activations={"1": "relu", "3": "relu"}, skips=(("1", "3"),)), model, seed=0)
    torch.testing.assert_close(model(x), wanted)


def test_the_range_test_finds_a_rate_that_was_typed_wrong() -> None:
    material = regression(rate=1e-6)
    material = replace(material, training=tuple((x / x.std(0), y) for x, y in material.training))
    found, made = with_rate(Prescription(search_rate=True), material, seed=0)
    assert found.rate >= 1e3 and not found.search_rate and made % 15 == 0


def test_what_no_line_of_the_model_says_is_given_as_lines_to_paste() -> None:
    model, x = nn.Linear(4, 1), torch.randn(8, 4)
    run = measure(model, (x, x[:, :1]), F.mse_loss)
    for prescription, wanted in (
        (Prescription(settings={"eps": 1e-8}, why="w"), 'group["eps"] = 1e-08'),
        (Prescription(standardised_input=True, why="w"), "inputs.std(others"),
        (Prescription(scheme="lsuv", why="w"), 'photic.initialise(model, "lsuv", batch=batch)'),
        (Prescription(warmup=5, why="w"), "LinearLR"),
    ):
        patch, paste = write_patch(prescription, run, model, model)
        assert patch == "" and wanted in paste and paste.startswith("# w\n")
        compile(paste, "paste", "exec")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("epsilon-of-one", "adam-epsilon"),
        ("pixels-shifted", "standardised-input"),
        ("target-in-thousands", "standardised-target"),
        ("ascent", "descend"),
    ],
)
def test_the_clinic_is_cured_by_the_cause(name: str, remedy: str) -> None:
    (case,) = [case for case in cases() if case.name == name]
    made: list[Any] = []

    def build() -> nn.Module:
        made.append(case.build(torch.initial_seed() % 1000))
        return made[-1].model

    setup = case.build(0)
    treatment = photic.treat(
        build, setup.batches, setup.loss, optimizer=lambda _: made[-1].optimizer, steps=100, seeds=(0, 1)
    )
    assert treatment.remedy == remedy, treatment.report()
    losses = train(treatment.setup(seed=5), endless(treatment.setup().batches), 100)
    assert sum(losses[-10:]) < sum(losses[:10])


def test_remedies_that_do_not_apply_say_so() -> None:
    from photic.remedies.registry import remedies

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    x = torch.randn(16, 4)
    graph = Graph.of(measure(model, (x, x[:, :1]), F.mse_loss))
    answers = {remedy.name: remedy.prescribe(graph) for remedy in remedies()}
    for name in (
        "straight-through",
        "register-modules",
        "smaller-scores",
        "free-output",
        "fixup",
        "adam-epsilon",
        "descend",
    ):
        assert isinstance(answers[name], str), name


@pytest.mark.parametrize("shape", [(50, 6), (40, 5, 3), (30, 2, 4, 4)])
def test_the_lines_for_a_standardised_input_give_what_the_trial_gave(shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    scales = torch.tensor([0.1, 7.0, 300.0, 1.0, 0.0, 20.0])[: shape[1] if len(shape) > 3 else shape[-1]]
    scales = scales[:, None, None] if len(shape) > 3 else scales
    x = torch.randn(shape, generator=draw) * scales + 5.0
    model = nn.Identity()
    standardise_input(model, [(x[:20], None), (x[20:], None)])
    space: dict[str, Any] = {"inputs": x.clone(), "torch": torch}
    exec("\n".join(setup_lines(Prescription(standardised_input=True))), space)
    assert torch.allclose(space["inputs"], model(x), rtol=1e-4, atol=1e-5)
