"""Remedies one by one: each on a network that it cures, with the law that it keeps, and where it must refuse."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.lab.clinic.case import cases
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.combine import combine, together
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.registry import remedies
from photic.remedies.rows import pieces
from photic.remedies.treat import Treatment

CASES = {case.name: case for case in cases()}
CATALOGUE = {remedy.name: remedy for remedy in remedies()}


def treated(name: str) -> Treatment:
    case = CASES[name]
    made: list[Any] = []

    def build() -> nn.Module:
        made[:] = [case.build(torch.initial_seed() % 2**31)]
        return made[0].model

    setup = case.build(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return photic.treat(
            build, setup.batches, setup.loss, optimizer=lambda _: made[0].optimizer, steps=100, seeds=(0,)
        )


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("encoder-under-no-grad", "recorded-pass"),
        ("argmax-choice", "soft-choice"),
        ("gate-and-branch-zero", "woken-factor"),
        ("softmax-one-unit", "one-probability"),
        ("softmax-one-unit-regression", "one-probability"),
        ("clipped-to-nothing", "raised-clip"),
        ("root-at-zero", "guarded-argument"),
        ("row-masked-out", "masked-rows"),
        ("hinge-beyond-margin", "unlimited-loss"),
        ("constant-weights", "he"),
        ("bfloat16-weights", "single-precision"),
        pytest.param("attention-without-skips", "block-connections", marks=pytest.mark.slow),
        ("no-epsilon", "adam-epsilon"),
    ],
)
def test_a_sick_network_is_cured_at_its_cause(name: str, remedy: str) -> None:
    treatment = treated(name)
    assert treatment.remedy == remedy, treatment.report()
    assert treatment.record.runs <= 6.0
    assert treatment.patch or treatment.paste


def prescribed(remedy: str, model: nn.Module, batch: Any, loss: Any = F.cross_entropy) -> Prescription | str:
    return CATALOGUE[remedy].prescribe(Graph.of(measure(model, batch, loss)))


def digits(count: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 64, generator=generator), torch.randint(10, (count,), generator=generator)


NEW = (
    "recorded-pass", "soft-choice", "woken-factor", "one-probability", "raised-clip", "guarded-argument", "masked-rows",
    "unlimited-loss", "fresh-recurrence", "block-connections", "balanced-sum",
)  # fmt: skip


@pytest.mark.parametrize("remedy", NEW)
def test_a_plain_healthy_network_is_refused_in_words(remedy: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    reason = prescribed(remedy, model, digits())
    assert isinstance(reason, str) and len(reason) > 15


class Looked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scores, self.table, self.head = nn.Linear(64, 8), nn.Embedding(8, 4), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.table(self.scores(x).argmax(-1)))


def test_what_is_chosen_keeps_its_value_and_the_scores_get_the_softmax_s_gradient() -> None:
    model, (x, y) = Looked(), digits()
    prescription = prescribed("soft-choice", model, (x, y))
    assert isinstance(prescription, Prescription)
    before = model(x).detach()
    carry_out(prescription, model, seed=0)
    assert torch.equal(model(x), before)
    F.cross_entropy(model(x), y).backward()
    scores = model.scores(x).detach().requires_grad_()
    soft = scores.softmax(-1) @ model.table.weight.detach()
    hard = model.table.weight.detach()[scores.argmax(-1)]
    F.cross_entropy(model.head(hard + soft - soft.detach()), y).backward()
    assert scores.grad is not None
    torch.testing.assert_close(model.scores.weight.grad, scores.grad.T @ x)


def test_an_empty_row_gives_zeros_and_every_other_row_stays() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            mask = torch.zeros(4, 4)
            mask[0] = -torch.inf
            return (self.layer(x) + mask).softmax(-1)

    model, x = Masked(), torch.randn(4, 4)
    rest = model(x)[1:].detach()
    carry_out(Prescription(masked_rows=("/softmax#1",)), model, seed=0)
    value = model(x)
    assert torch.equal(value[0], torch.zeros(4)) and torch.equal(value[1:], rest)
    value.sum().backward()
    assert model.layer.weight.grad is not None and bool(torch.isfinite(model.layer.weight.grad).all())


def test_connections_go_around_blocks_of_one_shape_only() -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [64, 32, 32, 32, 32]
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in zip(sizes, sizes[1:], strict=False)
            )
            self.head = nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    model, (x, y) = Blocks(), digits()
    prescription = prescribed("block-connections", model, (x, y))
    assert isinstance(prescription, Prescription) and prescription.blocks == tuple(f"blocks.{k}" for k in range(4))
    h = model.blocks[0](x)
    for k in (1, 2, 3):
        h = h + model.blocks[k](h)
    wanted = model.head(h)
    carry_out(prescription, model, seed=0)
    torch.testing.assert_close(model(x), wanted)


def test_a_guarded_logarithm_is_the_logarithm_inside_its_range() -> None:
    class Logarithm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.log(self.layer(x))

    model = Logarithm()
    nn.init.ones_(model.layer.weight)
    nn.init.zeros_(model.layer.bias)
    x = torch.tensor([[0.0], [1.0], [4.0]])
    prescription = prescribed("guarded-argument", model, (x, x), F.mse_loss)
    assert isinstance(prescription, Prescription)
    carry_out(prescription, model, seed=0)
    value = model(x)
    assert torch.equal(value[1:], torch.log(x[1:])) and bool(torch.isfinite(value).all())


def test_prescriptions_are_joined_unless_one_would_undo_the_other() -> None:
    he = LayerInitialisation("0", "0.weight", "0.bias", "he")
    both = combine(Prescription(layers=(he,), why="a"), Prescription(clip=1.0, why="b"))
    assert both == Prescription(layers=(he,), clip=1.0, why="a; b")
    assert combine(Prescription(clip=1.0), Prescription(clip=2.0)) is None
    assert combine(Prescription(layers=(he,)), Prescription(scheme="lsuv")) is None
    assert combine(Prescription(activations={"a": "tanh"}), Prescription(activations={"a": "relu"})) is None
    pair = together(CATALOGUE["warm-up"], CATALOGUE["he"])
    assert pair.name == "warm-up + he" and pair.changes == "weights"


def test_a_batch_is_cut_into_pieces_only_along_one_common_axis() -> None:
    x, y = digits(16)
    parts = pieces((x, y), 4)
    assert [len(part[0]) for part in parts] == [4, 4, 4, 4] and torch.equal(torch.cat([part[1] for part in parts]), y)
    assert len(pieces((x[:6], y[:6]), 4)) == 1  # fewer than 4 examples each
    assert len(pieces((torch.zeros(30, 8, 2), torch.zeros(8)), 4)) == 1  # time first: no common axis


def test_two_faults_at_once_are_cured_by_two_remedies() -> None:
    """y = x^4 with x up to 100 and a tanh: with the target alone in units, the tanh stays saturated."""
    treatment = treated("fourth-power")
    outcomes = {trial.remedy: trial for trial in treatment.trials}
    assert outcomes["standardised-target"].outcome == "refused"
    assert treatment.remedy.startswith("standardised-target + "), treatment.report()
    best, control = outcomes[treatment.remedy].held_back_loss, outcomes["untreated"].held_back_loss
    assert best is not None and control is not None and best < 0.5 * control


def test_where_the_remedies_of_the_finding_fail_those_of_other_problems_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is prescribed for what was found in the deep sigmoid network."""
    from photic.lab.examples import deep_sigmoid
    from photic.remedies import treat as module

    monkeypatch.setattr(module, "prescribe", lambda graph, problems: ([], []))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batches = list(deep_sigmoid.batches())
    treatment = photic.treat(
        lambda: deep_sigmoid.DeepSigmoid(width=64),
        batches,
        F.cross_entropy,
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        steps=60,
        seeds=(0,),
    )
    assert treatment.accepted and "vanishing-gradient" in CATALOGUE[treatment.remedy].treats
