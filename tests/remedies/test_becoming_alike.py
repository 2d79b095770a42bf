"""Remedies for what becomes one, and what each must refuse."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.surgery import unshare
from tests import zoo
from tests.diagnosis import test_becoming_alike as sick
from tests.remedies.test_structure import CATALOGUE, cured, digits, healed


def test_seats_that_begin_alike_are_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (lambda: sick.Seats(0.0)), sick.heaps() + sick.heaps(1), sick.nearest
    assert healed(cured("drawn-states", monkeypatch, *given, optimizer=sick.adam, steps=150))


def test_one_layer_under_many_names_becomes_many(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (lambda: sick.Listed("one")), digits(), F.cross_entropy
    assert healed(cured("own-copies", monkeypatch, *given, optimizer=sick.adam, steps=150))


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
