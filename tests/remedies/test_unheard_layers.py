"""Remedies for layers that run and are not heard, and what each must refuse."""

from __future__ import annotations

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
from photic.remedies.surgery import widen
from tests.diagnosis import test_unheard_layers as sick
from tests.remedies.test_structure import CATALOGUE, cured, healed


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


def rings() -> list[tuple[Tensor, Tensor]]:
    """Two rings that no straight line parts."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(24, 64, 64, generator=draw)
    x[..., 2:] *= 0.1
    x = x.flatten(0, 1)
    x[:, :2] = F.normalize(x[:, :2], dim=1)
    label = torch.arange(len(x)) % 2
    x[:, :2] *= 1.0 + label[:, None]
    return list(zip(x.split(64), label.split(64), strict=True))


class Hinted(nn.Module):
    """A layer for the hint, made and dropped, and one for the rest that learns little without it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.hint, self.head = nn.Linear(62, 32), nn.Linear(2, 32), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.hint(x[:, :2])
        return self.head(F.relu(self.stem(x[:, 2:])))


def test_dropped_blocks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    build = lambda: sick.Blocks(classes=2)  # noqa: E731
    assert healed(cured("continued-blocks", monkeypatch, build, rings(), F.cross_entropy, optimizer=adam, steps=120))


def test_a_dropped_hint_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    assert healed(cured("added-results", monkeypatch, Hinted, rings(), F.cross_entropy, optimizer=adam, steps=60))


def test_a_mask_is_turned_round(monkeypatch: pytest.MonkeyPatch) -> None:
    build, texts = (lambda: sick.Looking(lambda text: text == 0)), sick.texts() + sick.texts(1)
    assert healed(cured("turned-mask", monkeypatch, build, texts, F.cross_entropy, optimizer=adam, steps=60))


def test_layers_without_a_unit_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    assert healed(
        cured(
            "widened-layers",
            monkeypatch,
            lambda: sick.Narrow(0, 2),
            rings(),
            F.cross_entropy,
            optimizer=adam,
            steps=60,
        )
    )


@pytest.mark.parametrize(
    ("name", "build", "batches"),
    [
        ("continued-blocks", lambda: sick.Blocks("kept"), rings),
        ("continued-blocks", Hinted, rings),  # its result has not the shape of what it is given
        ("added-results", sick.Blocks, rings),  # no layer of that shape comes after
        ("turned-mask", lambda: sick.Looking(lambda text: text != 0), sick.texts),
        ("widened-layers", lambda: sick.Narrow(8), rings),
    ],
)
def test_what_they_must_refuse(name: str, build: Callable[[], nn.Module], batches: Callable[[], Any]) -> None:
    checkup = photic.check(build(), batches(), F.cross_entropy, adam)
    said = CATALOGUE[name].prescribe(Graph.of(checkup.run))
    assert isinstance(said, str) and said


def test_dropped_blocks_that_go_on_give_what_kept_ones_give() -> None:
    torch.manual_seed(0)
    dropped, kept = sick.Blocks(), sick.Blocks("kept")
    kept.load_state_dict(dropped.state_dict())
    batches = rings()
    found = CATALOGUE["continued-blocks"].prescribe(Graph.of(photic.check(dropped, batches, F.cross_entropy, adam).run))
    assert isinstance(found, Prescription)
    carry_out(found, dropped, seed=0)
    for x, _ in batches[:2]:  # at every forward anew
        torch.testing.assert_close(dropped(x), kept(x))


def test_widened_layers_know_their_width() -> None:
    model = sick.Narrow(0)
    widen(model, 6, seed=0)
    assert (model.enter.out_features, model.leave.in_features) == (6, 6)
    assert model.enter.weight.shape == (6, 16) and model.leave.weight.shape == (16, 6)
    assert model.stem.weight.shape == (16, 64)
