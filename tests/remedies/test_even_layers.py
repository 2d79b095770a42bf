"""Weights in whatever form made smaller by what the gradient grows at them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.lab.clinic import samples
from photic.probes.audit import measure
from photic.remedies.prescription import Prescription
from tests import zoo
from tests.remedies.test_structure import CATALOGUE, cured, healed

DEPTH, WIDTH = 12, 64


class Waves(nn.Module):
    """A complex matrix in each layer, made of two real ones; what lies between keeps a wave's phase and shrinks it."""

    def __init__(self, size: float) -> None:
        super().__init__()

        def draw() -> list[Tensor]:
            return [size * torch.randn(WIDTH, WIDTH) / math.sqrt(WIDTH) for _ in range(DEPTH)]

        self.real, self.imaginary = nn.ParameterList(draw()), nn.ParameterList(draw())
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.complex(x, x.roll(1, 1))
        for real, imaginary in zip(self.real, self.imaginary, strict=True):
            z = z @ torch.complex(real, imaginary)
            z = z / (z.abs() + 1e-6) * (z.abs() - 0.02).clamp(min=0)
        return self.head(z.abs())


class Sines(nn.Module):
    """sin(r W x), drawn as torch draws layers, above a layer of its own for the input."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(8))
        self.enter, self.head, self.rate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10), rate

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.enter(x))
        for layer in self.layers:
            x = torch.sin(self.rate * layer(x))
        return self.head(x)


def batches() -> list[Any]:
    """Return digits, of which a pixel has deviation 1."""
    x, y = samples.digit_table()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:1600]
    x, y = x[order] - x[order].mean(0), y[order]
    return [(x[k : k + 64] / x.std(), y[k : k + 64]) for k in range(0, 1600, 64)]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3)


@pytest.mark.parametrize("build", [partial(Waves, 1.5), partial(Sines, 12.0)], ids=["complex", "sine"])
def test_it_cures_what_no_initialiser_knows(build: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    found = cured("even-layers", monkeypatch, build, batches(), F.cross_entropy, optimizer=adam, steps=150)
    assert healed(found)


def test_where_the_signal_keeps_its_phase_the_gradient_is_even_afterwards() -> None:
    model = zoo.seeded(partial(Waves, 1.5))
    prescription = CATALOGUE["even-layers"].prescribe(Graph.of(measure(model, batches()[0], F.cross_entropy)))
    assert isinstance(prescription, Prescription)
    assert {name.partition(".")[0] for name in prescription.scaled} == {"real", "imaginary"}
    with torch.no_grad():
        for name, factor in prescription.scaled.items():
            model.get_parameter(name).mul_(factor)
    graph = Graph.of(measure(model, batches()[0], F.cross_entropy))
    norms = [graph.gradient_norm(index) or math.nan for index in graph.layers()]
    assert max(norms) < 3.0 * min(norms)  # it grew 2.1 times at each of 12 layers


def test_the_lines_at_the_end_of_the_constructor_do_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from photic.cli.targets import load
    from photic.remedies.patch import apply_patch

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(Path(__file__).read_text() + "\n\ndef build():\n    return Waves(1.5)\n")
    found = cured(
        "even-layers", monkeypatch, load("net.py:build").build, batches(), F.cross_entropy, optimizer=adam, steps=150
    )
    assert found.patch, found.paste
    apply_patch(found.patch, tmp_path)
    assert photic.check(load("net.py:build").build(), batches(), F.cross_entropy, adam).healthy


@pytest.mark.parametrize("build", [partial(Waves, 0.7), partial(Sines, 1.5)], ids=["complex", "sine"])
def test_it_refuses_layers_at_which_nothing_grows(build: Callable[[], nn.Module]) -> None:
    checkup = photic.check(zoo.seeded(build), batches(), F.cross_entropy, adam)
    assert "exploding-gradient" not in [f.problem for f in checkup.findings]
    assert isinstance(CATALOGUE["even-layers"].prescribe(Graph.of(checkup.run)), str)
