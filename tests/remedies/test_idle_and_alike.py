"""Remedies for layers that take no part and for what is made alike: each cures a small network, and refuses the healthy one like it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.remedies.carry_out import carry_out
from photic.remedies.prescription import Prescription
from photic.remedies.stepping import change_optimizer
from tests.diagnosis import idle_and_alike as sick
from tests.remedies.test_structure import CATALOGUE, cured, healed
from tests.zoo import seeded

CURES = {
    "heard-branch": "a mask of zeros",
    "carried-state": "a state made anew",
    "kept-updates": "a mean that is followed",
    "rows-in-place": "a copy of rows",
    "filled-bins": "one bin",
    "open-highways": "gates that are shut",
    "drawn-entries": "one entry",
    "kept-positions": "one answer for all places",
    "centred-weights": "weights of one sign",
    "fed-input": "a loop that settles",
    "kept-hops": "rows that are mixed",
}


def prescribed(name: str, build: Callable[[], nn.Module], case: str) -> Prescription | str:
    _, _, batches, loss, _ = sick.SICK[case]
    return CATALOGUE[name].prescribe(Graph.of(photic.check(seeded(build), batches(), loss, sick.adam).run))


@pytest.mark.parametrize("name", CURES)
def test_it_cures_the_sick_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, _, batches, loss, _ = sick.SICK[CURES[name]]
    assert healed(cured(name, monkeypatch, build, batches(), loss, optimizer=sick.adam, steps=100))


@pytest.mark.parametrize("case", ["places that lie flat", "maps of one cell"])
def test_positions_are_kept_apart_in_graphs_and_in_maps(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, _, batches, loss, _ = sick.SICK[case]
    assert healed(cured("kept-positions", monkeypatch, build, batches(), loss, optimizer=sick.adam, steps=60))


def test_nodes_of_several_graphs_keep_what_they_said(monkeypatch: pytest.MonkeyPatch) -> None:
    build, _, batches, loss, _ = sick.SICK["nodes that are mixed"]
    assert healed(cured("kept-hops", monkeypatch, build, batches(), loss, optimizer=sick.adam, steps=60))


@pytest.mark.parametrize("name", CURES)
def test_it_refuses_the_healthy_one(name: str) -> None:
    said = prescribed(name, sick.SICK[CURES[name]][1], CURES[name])
    assert isinstance(said, str) and said


def test_parameters_that_nothing_uses_are_taken_from_an_optimizer_that_ends_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def passing(model: nn.Module) -> torch.optim.Optimizer:
        return sick.Passing(model.parameters(), ends=True)

    found = cured(
        "unused-parameters", monkeypatch, sick.Narrow, sick.far_from_0(), F.cross_entropy, optimizer=passing, steps=300
    )
    assert healed(found) and "unused.weight" in found.paste
    checkup = photic.check(
        seeded(sick.Narrow), sick.far_from_0(), F.cross_entropy, sick.adam
    )  # an optimizer that goes on
    assert isinstance(CATALOGUE["unused-parameters"].prescribe(Graph.of(checkup.run)), str)


def test_an_optimizer_holds_all_but_what_it_is_not_to_hold() -> None:
    model = sick.Narrow()
    optimizer = change_optimizer(Prescription(unheld=("unused.weight",)), sick.adam(model), model)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for name, p in model.named_parameters() if name != "unused.weight"}


@pytest.mark.parametrize(
    ("name", "case", "wrong", "right", "batches"),
    [
        ("carried-state", "a state made anew", lambda: sick.Steps(anew=True), lambda: sick.Steps(anew=False), sick.remembered),
        ("rows-in-place", "a copy of rows", lambda: sick.Rows(copied=True), lambda: sick.Rows(copied=False), sick.marked),
    ],
)  # fmt: skip
def test_what_is_written_back_gives_what_the_right_network_gives(
    name: str, case: str, wrong: Callable[[], nn.Module], right: Callable[[], nn.Module], batches: Callable[[], Any]
) -> None:
    treated, other = seeded(wrong), right()
    other.load_state_dict(treated.state_dict())
    found = prescribed(name, lambda: copy.deepcopy(treated), case)
    assert isinstance(found, Prescription)
    carry_out(found, treated, seed=0)
    for x, _ in batches()[:2]:
        torch.testing.assert_close(treated(x), other(x))


@pytest.mark.parametrize("how", ["lerp", "mul and add"])
def test_a_running_mean_that_ran_into_the_weights_follows_them(how: str) -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.register_buffer("mean", torch.zeros(2))
            self.mean: Tensor

        def forward(self, x: Tensor) -> Tensor:
            if how == "lerp":
                self.weight.data.lerp_(self.mean, 0.9)
            else:
                self.weight.data.mul_(0.1).add_(self.mean, alpha=0.9)
            return x * self.weight

    model = Mean()
    carry_out(Prescription(unwritten=("weight",)), model, seed=0)
    assert torch.equal(copy.deepcopy(model)(torch.ones(2)).detach(), torch.ones(2))
    model(torch.ones(2))
    torch.testing.assert_close(model.weight.detach(), torch.ones(2))
    torch.testing.assert_close(model.mean, torch.full((2,), 0.1))


def test_bins_are_filled_from_the_first_to_the_last() -> None:
    model = seeded(lambda: sick.Hours(60.0))
    found = prescribed("filled-bins", lambda: copy.deepcopy(model), "one bin")
    assert isinstance(found, Prescription)
    carry_out(found, model, seed=0)
    rows: list[Tensor] = []
    model.hour.register_forward_pre_hook(lambda _, given: rows.append(given[0]))
    model(sick.hours()[0][0])
    assert (int(rows[0].min()), int(rows[0].max())) == (0, 19)


def test_weights_that_are_centred_have_no_mean_and_the_deviation_asked_for() -> None:
    model = seeded(lambda: sick.Stack(sick.of_one_sign))
    carry_out(Prescription(centred={"layers.0": 0.25}), model, seed=0)
    weight = model.layers[0].detach()
    assert float(weight.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(weight.std()) == pytest.approx(0.25, rel=1e-5)


def test_a_connection_does_not_lead_around_a_choice() -> None:
    said = prescribed("residual-connections", sick.SICK["one entry"][0], "one entry")
    assert isinstance(said, str) and "choice" in said


class Gridded(nn.Module):
    """Weights on a grid of 1 / 16: written back at each forward, or rounded for the forward alone."""

    def __init__(self, *, written: bool) -> None:
        super().__init__()
        self.written, self.hidden, self.out = written, nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.hidden.weight
        on_grid = (torch.round(weight * 16.0) / 16.0).detach()
        if self.written:
            weight.data.copy_(on_grid)
        else:
            weight = weight + (on_grid - weight).detach()
        return self.out(torch.tanh(F.linear(x, weight, self.hidden.bias)))


def test_weights_that_are_rounded_to_a_grid_and_written_back_are_moved_by_the_optimizer_again() -> None:
    def slowly(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=3e-3)

    batches = [(x, (x[:, :2].prod(1) > 0).long()) for x in torch.randn(8, 64, 8, generator=torch.manual_seed(4))]
    sick_one, healthy = (seeded(lambda written=written: Gridded(written=written)) for written in (True, False))
    checkup = photic.check(sick_one, batches, F.cross_entropy, slowly)
    assert "put back before the next" in next(f.reason for f in checkup.findings if f.problem == "idle-layer")
    other = photic.check(healthy, batches, F.cross_entropy, slowly)
    assert "idle-layer" not in [f.problem for f in other.findings]
    assert isinstance(CATALOGUE["kept-updates"].prescribe(Graph.of(other.run)), str)
    treatment = photic.treat(
        lambda: seeded(lambda: Gridded(written=True)), batches, F.cross_entropy, optimizer=slowly, steps=300
    )
    assert treatment.remedy == "kept-updates", treatment.report()
