"""Remedies for signals that grow by what no layer's weights tell, and what each must refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.patch import write_patch
from photic.remedies.prescription import Prescription
from tests import zoo
from tests.diagnosis import test_growing_signals as sick
from tests.remedies.test_structure import CATALOGUE, cured, digits, healed, prescribed


@pytest.mark.parametrize(
    ("remedy", "name"),
    [("unit-gains", "factors"), ("unit-gains", "sums"), ("bounded-powers", "powers"), ("scaled-products", "stacks"), ("small-tables", "facts")],
)  # fmt: skip
def test_each_cures_what_it_is_for(remedy: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, batches, loss, optimizer, _ = sick.GROWN[name]
    given = digits() if batches is sick.digits else batches() + batches()
    assert healed(cured(remedy, monkeypatch, lambda: build(True), given, loss, optimizer=optimizer, steps=60))


@pytest.mark.parametrize(
    ("remedy", "build", "batch", "loss"),
    [
        ("unit-gains", lambda: sick.Mixed(0.125), lambda: zoo.vectors(0), F.cross_entropy),
        ("bounded-powers", lambda: zoo.Residual(4), lambda: zoo.vectors(0), F.cross_entropy),
        ("scaled-products", lambda: sick.Stacked(0), lambda: zoo.vectors(0), F.cross_entropy),
        (
            "small-tables",
            lambda: sick.Facts(40**-0.5),
            lambda: sick.triples()[0],
            F.binary_cross_entropy_with_logits,
        ),
    ],
)
def test_what_they_must_refuse(remedy: str, build: Callable[[], nn.Module], batch: Any, loss: Any) -> None:
    said = CATALOGUE[remedy].prescribe(Graph.of(measure(zoo.seeded(build), batch(), loss)))
    assert isinstance(said, str) and said


def test_factors_give_every_site_the_size_of_the_input() -> None:
    model, batch = zoo.seeded(lambda: sick.Mixed(1.0)), zoo.vectors(0)
    before = measure(model, batch, F.cross_entropy)
    assert before.inputs is not None
    carry_out(prescribed("unit-gains", model, batch, F.cross_entropy), model, seed=0)
    after = measure(model, batch, F.cross_entropy)
    grown = [
        run.steps[0].sites[run.outputs[0]].signal.rms for run in (before, after)  # pyright: ignore[reportOptionalMemberAccess]
    ]  # fmt: skip
    assert grown[0] > 1e3 and grown[1] < 2.0 * max(before.inputs.rms, 1.0)


def test_a_tanh_before_a_module_is_that_of_its_input() -> None:
    model = sick.powers(bounded=False)
    bounded = sick.powers(bounded=True)
    bounded.load_state_dict(model.state_dict())
    x, y = sick.formula()[0]
    carry_out(prescribed("bounded-powers", model, (x, y), F.mse_loss), model, seed=0)
    torch.testing.assert_close(model(x), bounded(x))


class Squares(nn.Module):
    """Layers whose results are squared: no activation that is known stands between them."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth)), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            z = layer(x)
            x = 4.0 * z * z
        return self.head(x)


@pytest.mark.parametrize("remedy", ["layer-normalisation", "rms-normalisation"])
def test_where_no_activation_is_known_what_enters_the_layers_is_normalised(remedy: str) -> None:
    model, batch = zoo.seeded(lambda: Squares(6)), zoo.vectors(0)
    given = prescribed(remedy, model, batch, F.cross_entropy)
    assert given.normalised == (*(f"layers.{k}" for k in range(1, 6)), "head")
    carry_out(given, model, seed=0)
    after = measure(model, batch, F.cross_entropy)
    sizes = [after.steps[0].sites[site.order].signal for site in after.sites if site.kind == "weight"]
    assert all(signal is not None and 0.1 < signal.rms < 2.0 for signal in sizes)
    assert isinstance(
        CATALOGUE[remedy].prescribe(Graph.of(measure(zoo.seeded(lambda: Squares(1)), batch, F.cross_entropy))), str
    )


@pytest.mark.parametrize("order", ["x @ w", "w @ x", "einsum"])
def test_the_signal_is_normalised_and_not_the_weights(order: str) -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(64, 64) / 8.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if order == "w @ x":
                return (self.w @ x.T).T
            return x @ self.w.T if order == "x @ w" else torch.einsum("oi,bi->bo", self.w, x)

    model, x = zoo.seeded(Product), 100.0 * zoo.vectors(0)[0]
    expected = F.linear(F.layer_norm(x, (64,)), model.w)
    (site,) = [site.name for site in measure(model, zoo.vectors(0), F.cross_entropy).sites if site.kind == "weight"]
    carry_out(Prescription(normalised=(site,)), model, seed=0)
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


class Gated(nn.Module):
    """The stream is multiplied, block after block, by what the block makes of it."""

    def __init__(self, depth: int, width: int = 32, spread: float = 1.0) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(64, width), nn.Linear(width, 10)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=spread)  # pyright: ignore[reportArgumentType]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x))
        for layer in self.layers:
            x = torch.clamp(layer(x), min=-2) * x
        return self.head(x)


def test_blocks_become_small_normalised_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.05)

    name = "normalised-branches"
    treatment = cured(
        name, monkeypatch, lambda: Gated(12, spread=0.3), digits(), F.cross_entropy, optimizer=slow, steps=80
    )
    assert healed(treatment)
    assert (
        "x = x + 0.2887 * torch.nn.functional.rms_norm(torch.clamp(layer(x), min=-2) * x, x.shape[-1:])"
        in treatment.patch
    )


def test_normalised_branches_neither_grow_nor_hold_on_to_one_forward() -> None:
    model, batch = zoo.seeded(lambda: Gated(12)), zoo.vectors(0)
    grown = model(batch[0]).detach().abs().max()
    given = prescribed("normalised-branches", model, batch, F.cross_entropy)
    carry_out(given, model, seed=0)
    once = model(batch[0]).detach()
    assert not grown < 1e6 and once.abs().max() < 10.0
    torch.testing.assert_close(model(batch[0]).detach(), once, rtol=0.0, atol=0.0)
    x = stream = torch.relu(model.get_submodule("enter")(batch[0]))
    for k in range(12):
        x = torch.clamp(model.get_submodule(f"layers.{k}")(stream), min=-2) * stream
        stream = stream + 12**-0.5 * F.rms_norm(x, x.shape[-1:])
    torch.testing.assert_close(once, model.get_submodule("head")(stream))


def test_two_blocks_are_too_few_for_normalised_branches() -> None:
    said = CATALOGUE["normalised-branches"].prescribe(
        Graph.of(measure(zoo.seeded(lambda: Gated(2)), zoo.vectors(0), F.cross_entropy))
    )
    assert isinstance(said, str) and "3 stretches" in said


def test_branches_are_written_only_where_the_variable_holds_the_stream() -> None:
    class Steps(nn.Module):
        """A line for the layer and a line for what bends it: the second is given what the first made, which is no stream."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = (nn.Linear(64, 64) for _ in range(4))
            self.head = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.a(x))
            x = self.b(x)
            x = torch.relu(x)
            x = self.c(x)
            x = torch.relu(x)
            x = self.d(x)
            x = torch.relu(x)
            return self.head(x)

    model, batch = zoo.seeded(Steps), zoo.vectors(0)
    run = measure(model, batch, F.cross_entropy)
    given = CATALOGUE["normalised-branches"].prescribe(Graph.of(run))
    assert isinstance(given, Prescription) and len(given.branched) == 3
    patch, paste = write_patch(given, run, Steps, model)
    assert not patch and "at each of the 3 blocks" in paste
