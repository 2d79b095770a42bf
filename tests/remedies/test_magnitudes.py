"""Signals divided by a mean of numbers of both signs: found as the cause, cured, patched, and told from means of one sign."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.cli.targets import load
from photic.diagnosis.graph import Graph
from photic.remedies.patch import apply_patch
from tests.remedies.test_structure import CATALOGUE, cured, healed
from tests.zoo import seeded

SOURCE = '''
import torch
from torch import nn


class Pooled(nn.Module):
    """Layers whose numbers are divided by the mean of each example's numbers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(20, 20) for _ in range(10))
        self.head = nn.Linear(20, 2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            x = x / (x.mean(dim=1, keepdim=True) + 1e-3)
            x = x + 0.5 * torch.sin(x)
        return self.head(x)
'''


class Divided(nn.Module):
    """Layers whose numbers are divided by a sum of each example's numbers, as they are or made of one sign first."""

    def __init__(self, sign: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(20, 20) for _ in range(10))
        self.head, self.sign = nn.Linear(20, 2), sign

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
            x = 20.0 * x / (torch.sum(self.sign(x), 1, keepdim=True) + 1e-3)
            x = x + 0.5 * torch.sin(x)
        return self.head(x)


def batches() -> list[Any]:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(512, 20, generator=draw)
    y = (x[:, 0] + x[:, 1] - x[:, 2] > 0).long()
    return [(x[k : k + 64], y[k : k + 64]) for k in range(0, 512, 64)]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=3e-3)


def test_a_sum_of_both_signs_is_named_and_its_magnitudes_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    build = partial(Divided, nn.Identity())
    found = photic.check(seeded(build), batches(), F.cross_entropy, adam).findings[0]
    assert found.problem == "exploding-gradient" and "numbers of both signs" in found.reason, found
    assert healed(cured("magnitudes", monkeypatch, build, batches(), F.cross_entropy, optimizer=adam, steps=150))


def test_the_patch_takes_magnitudes_and_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE)
    build = load("net.py:Pooled").build
    treatment = cured("magnitudes", monkeypatch, build, batches(), F.cross_entropy, optimizer=adam, steps=150)
    assert "x.abs().mean(dim=1, keepdim=True)" in treatment.patch, treatment.paste
    apply_patch(treatment.patch, tmp_path)
    model = load("net.py:Pooled").build()
    assert photic.check(model, batches(), F.cross_entropy, adam).healthy


@pytest.mark.parametrize("sign", [torch.abs, torch.square, torch.exp, lambda x: torch.exp(4.0 * x)])
def test_a_sum_of_one_sign_is_left_alone(sign: Callable[[Tensor], Tensor]) -> None:
    run = photic.check(seeded(partial(Divided, sign)), batches(), F.cross_entropy, adam).run
    assert isinstance(CATALOGUE["magnitudes"].prescribe(Graph.of(run)), str)
