"""Neurons that fire above a potential which none of them comes near, with a slope there alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.lab.clinic.cases_opened_deep_units import Spike
from tests.remedies.test_structure import CATALOGUE, cured, digits, healed
from tests.zoo import seeded


class Spiking(nn.Module):
    """Two layers of neurons that see one image for eight ticks; their rates are read out."""

    def __init__(self, threshold: float, layers: int = 1) -> None:
        super().__init__()
        self.synapses = nn.ModuleList(nn.Linear(64, 64) for _ in range(layers))
        self.readout, self.threshold = nn.Linear(64, 10), threshold

    def forward(self, x: Tensor) -> Tensor:
        potentials, count = [torch.zeros_like(x) for _ in self.synapses], torch.zeros_like(x)
        for _ in range(8):
            fired: Any = x
            for k, synapses in enumerate(self.synapses):
                v = 0.9 * potentials[k] + synapses(fired)
                fired = Spike.apply(v - self.threshold)  # pyright: ignore
                potentials[k] = v - fired.detach() * self.threshold
            count = count + fired
        return self.readout(count / 8.0)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=3e-3)


@pytest.mark.parametrize("layers", [1, 2])
def test_weights_that_reach_it_cure(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    treatment = cured(
        "reached-threshold",
        monkeypatch,
        lambda: Spiking(30.0, layers),
        digits(),
        F.cross_entropy,
        optimizer=adam,
        steps=150,
    )
    assert healed(treatment)
    assert "scale" in treatment.patch or "*=" in treatment.patch or "mul_" in treatment.patch, treatment.patch


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_a_threshold_that_is_reached_is_left_alone(threshold: float) -> None:
    run = photic.check(seeded(lambda: Spiking(threshold)), digits(), F.cross_entropy, adam).run
    assert isinstance(CATALOGUE["reached-threshold"].prescribe(Graph.of(run)), str)
