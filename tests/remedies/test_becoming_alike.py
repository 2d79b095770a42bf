"""Remedies for what becomes one, and what each must refuse."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.carry_out import carry_out
from photic.remedies.surgery import unshare
from tests import zoo
from tests.diagnosis import test_becoming_alike as sick
from tests.remedies.test_structure import CATALOGUE, cured, digits, healed, normal, prescribed


def test_seats_that_begin_alike_are_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (lambda: sick.Seats(0.0)), sick.heaps() + sick.heaps(1), sick.nearest
    assert healed(cured("drawn-states", monkeypatch, *given, optimizer=sick.adam, steps=100))


def test_one_layer_under_many_names_becomes_many(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (lambda: sick.Listed("one")), digits(), F.cross_entropy
    assert healed(cured("own-copies", monkeypatch, *given, optimizer=sick.adam, steps=100))


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("drawn-states", lambda: nn.Sequential(nn.Linear(64, 10))),
        ("own-copies", lambda: sick.Listed("eight")),
        ("own-copies", lambda: sick.Listed("sampled")),
    ],
)
def test_what_they_must_refuse(name: str, build: type[nn.Module]) -> None:
    said = CATALOGUE[name].prescribe(Graph.of(measure(build(), zoo.vectors(0), F.cross_entropy)))
    assert isinstance(said, str) and said


def test_copies_are_apart_and_the_first_stays() -> None:
    model = sick.Listed("one")
    first = model.units[0].weight
    unshare(model, ["units.0"], seed=0)
    assert model.units[0].weight is first
    assert len({id(unit) for unit in model.units}) == 8
    rows = [parameter for name, parameter in model.units.named_parameters() if name.endswith("weight")]
    assert len(rows) == 8 and not torch.equal(rows[1], rows[2])


def test_the_first_layer_is_added_once_to_each_later_one_and_not_beside_other_connections() -> None:
    batch = (normal(32, 64), torch.zeros(32, dtype=torch.long))
    torch.manual_seed(0)
    plain = zoo.Mlp(torch.relu, 6)
    given = prescribed("initial-residual", plain, batch, F.cross_entropy)
    starts, ends = zip(*given.skips, strict=True)
    assert set(starts) == {given.skips[0][0]} and len(set(ends)) == len(ends) == 5
    changed = copy.deepcopy(plain)
    carry_out(given, changed, seed=0)
    hidden = first = torch.relu(plain.layers[0](batch[0]))
    for layer in list(plain.layers)[1:]:
        hidden = torch.relu(layer(hidden)) + first
    assert torch.allclose(changed(batch[0]), plain.head(hidden), atol=1e-6)

    class Connected(zoo.Mlp):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = x + torch.relu(layer(x))
            return self.head(x)

    for model in (Connected(torch.relu, 6, width=64), zoo.Mlp(torch.relu, 3)):
        assert isinstance(
            CATALOGUE["initial-residual"].prescribe(Graph.of(measure(model, batch, F.cross_entropy))), str
        )
