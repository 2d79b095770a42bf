"""Known traps: what people reach for and what does not cure, refused by measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import matrices
from photic.lab.examples import deep_sigmoid
from photic.remedies import choosing as module
from photic.remedies.prescription import Prescription
from photic.remedies.registry import Remedy, remedies
from photic.remedies.roles import initialisation
from photic.remedies.treat import treat
from tests import zoo

CATALOGUE = {remedy.name: remedy for remedy in remedies()}


def digits() -> list[Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return list(deep_sigmoid.batches())


def sgd(rate: float) -> Any:
    return lambda model: torch.optim.SGD(model.parameters(), lr=rate)


def only(remedy: Remedy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "remedies_for", lambda problems: (replace(remedy, treats=tuple(problems)),))
    monkeypatch.setattr(module, "remedies", tuple)


class PlainCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(1 if not i else 12, 12, 3, padding=1) for i in range(5))
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, 1, 8, 8)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
        return self.head(x.mean((2, 3)))


def test_he_does_not_cure_a_plain_cnn_whose_learning_rate_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        model = PlainCnn()
        for convolution in model.convolutions:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        return model

    only(CATALOGUE["he"], monkeypatch)
    treatment = treat(build, digits(), F.cross_entropy, optimizer=sgd(20.0), steps=60)
    assert "learning-rate-too-large" in {f.problem for f in treatment.record.before.findings}, treatment.report()
    (trial,) = treatment.trials[1:]
    assert trial.outcome == "refused" and not treatment.accepted


@pytest.mark.slow
def test_batch_normalisation_of_fifty_relu_layers_explodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yang et al. 2019: the gradient grows by pi / (pi - 1) a layer, 8.7e3 in norm over 50."""
    only(CATALOGUE["batch-normalisation"], monkeypatch)
    treatment = treat(
        lambda: zoo.Mlp(torch.relu, 50, width=64), digits(), F.cross_entropy, optimizer=sgd(0.1), steps=60
    )
    (trial,) = treatment.trials[1:]
    assert trial.outcome == "refused" and "exploding-gradient" in (*trial.brought, *trial.remaining), trial.reason
    assert trial.profile is not None
    lowest = trial.profile.layers[0].transport
    assert lowest is not None and lowest > 1e3


@pytest.mark.slow
def test_lsuv_does_not_cure_twenty_sigmoid_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    only(CATALOGUE["lsuv"], monkeypatch)
    treatment = treat(lambda: zoo.Mlp(torch.sigmoid, 20), digits(), F.cross_entropy, optimizer=sgd(0.1), steps=80)
    (trial,) = treatment.trials[1:]
    assert trial.outcome == "refused" and "vanishing-gradient" in trial.remaining


def test_four_times_xavier_does_not_cure_a_deep_sigmoid_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times Xavier's deviation, without centring: a slope of 1/4 is met, and the mean of 0.5 saturates the units."""

    def four_times(graph: Graph) -> Prescription | str:
        layers = tuple(initialisation(graph, index, "centred", scale=16.0) for index in matrices(graph))
        return Prescription(layers=layers, why="four times Xavier")

    only(replace(CATALOGUE["xavier"], name="four-times-xavier", prescribe=four_times), monkeypatch)
    treatment = treat(lambda: zoo.Mlp(torch.sigmoid, 12), digits(), F.cross_entropy, optimizer=sgd(0.1), steps=100)
    (trial,) = treatment.trials[1:]
    assert trial.outcome == "refused" and not treatment.accepted, trial.reason
