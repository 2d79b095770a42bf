"""What becomes one: places that are averaged, slots that begin alike, one layer under many names, products of many matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.evidence import chance
from photic.diagnosis.graph import Graph
from photic.diagnosis.repeated import repeated_layers
from photic.probes.audit import measure
from photic.probes.spread import spread_facts
from photic.records.findings import Checkup
from tests import zoo
from tests.zoo import seeded

Batches = list[tuple[Tensor, Tensor]]


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


def check(model: nn.Module, batches: Any, loss: Any = F.cross_entropy, optimizer: Any = adam) -> Checkup:
    return photic.check(model, batches, loss, optimizer)


def collapsed(checkup: Checkup) -> list[str]:
    return [f.severity for f in checkup.findings if f.problem == "rank-collapse"]


class Smoothed(nn.Module):
    """Maps [batch, channels, places], whose places are averaged twice by their nearness, and a head for each place."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.enter, self.head = nn.Conv1d(1, 8, 3, padding=1), nn.Conv1d(8, 2, 1)
        place = torch.arange(16.0)
        self.register_buffer("far", (place[:, None] - place[None]).square() / (2.0 * width**2))

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.relu(self.enter(x))
        for _ in range(2):
            nearness = -self.get_buffer("far") + 0.0 * maps.mean((0, 1))
            maps = maps @ nearness.softmax(0)
        return self.head(maps)


def steps_in_time(seed: int = 0) -> Batches:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 32, 1, 16, generator=draw)
    return [(one, (one[:, 0] > 0.0).long()) for one in x]


class Seats(nn.Module):
    """Three learned vectors that look twice at a set of points and each name a number."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.seats, self.embed = nn.Parameter(spread * torch.randn(3, 16)), nn.Linear(2, 16)
        self.query, self.value, self.name = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, points: Tensor) -> Tensor:
        x = self.embed(points)
        seats = self.seats.expand(len(points), 3, 16)
        for _ in range(2):
            shares = torch.softmax(self.query(seats) @ x.transpose(1, 2), dim=1)
            seats = torch.tanh(seats + shares / (1e-6 + shares.sum(2, keepdim=True)) @ self.value(x))
        return self.name(seats)


def heaps(seed: int = 0) -> Batches:
    draw = torch.Generator().manual_seed(seed)
    centre = 4.0 * torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
    points = centre[torch.arange(18) % 3] + 0.3 * torch.randn(8, 32, 18, 2, generator=draw)
    return [(one, one) for one in points]


def nearest(places: Tensor, points: Tensor) -> Tensor:
    return (points[:, :, None] - places[:, None]).square().sum(3).amin(2).mean()


class Listed(nn.Module):
    """Eight hidden units in a list, one under eight names or eight; or one, through a dropout, several times."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.units = nn.ModuleList([nn.Linear(64, 1)] * 8 if how == "one" else [nn.Linear(64, 1) for _ in range(8)])
        self.wide, self.drop, self.head = nn.Linear(64, 8), nn.Dropout(0.5), nn.Linear(8, 10)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "sampled":
            return self.head(torch.stack([self.drop(torch.relu(self.wide(x))) for _ in range(4)]).mean(0))
        if self.how == "slices":
            w = self.wide.weight
            return self.head(torch.cat([torch.relu(F.linear(x, w[k : k + 2])) for k in range(0, 8, 2)], dim=1))
        return self.head(torch.relu(torch.cat([unit(x) for unit in self.units], dim=1)))


class Factors(nn.Module):
    """A product of many matrices; the signal is brought to size 1 after each."""

    def __init__(self, depth: int, *, orthogonal: bool) -> None:
        super().__init__()
        drawn = [torch.randn(12, 12) / 12**0.5 for _ in range(depth)]
        self.factors = nn.ParameterList(nn.init.orthogonal_(m) if orthogonal else m for m in drawn)

    def forward(self, x: Tensor) -> Tensor:
        for factor in self.factors:
            x = x @ factor
            x = x / x.square().mean().sqrt()
        return x


def turned(seed: int = 0) -> Batches:
    draw = torch.Generator().manual_seed(seed)
    turn = nn.init.orthogonal_(torch.empty(12, 12), generator=draw)
    return [(x, x @ turn) for x in torch.randn(8, 64, 12, generator=draw)]


def slow(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.05)


@pytest.mark.parametrize(
    ("build", "batches", "loss", "optimizer"),
    [
        (lambda ill: Smoothed(100.0 if ill else 0.3), steps_in_time, F.cross_entropy, adam),
        (lambda ill: Seats(0.0 if ill else 1.0), heaps, nearest, adam),
        (lambda ill: Listed("one" if ill else "eight"), lambda: [zoo.vectors(seed) for seed in range(4)], F.cross_entropy, adam),
        (lambda ill: Factors(45, orthogonal=not ill), turned, F.mse_loss, slow),
    ],
    ids=["places", "slots", "names", "products"],
)  # fmt: skip
def test_what_becomes_one_is_found_and_what_stays_apart_is_not(
    build: Callable[[bool], nn.Module], batches: Callable[[], Batches], loss: Any, optimizer: Any
) -> None:
    ill = check(seeded(lambda: build(True)), batches(), loss, optimizer)
    assert collapsed(ill) and collapsed(ill)[0] != "info", ill.report()
    well = check(seeded(lambda: build(False)), batches(), loss, optimizer)
    assert not collapsed(well), well.report()


@pytest.mark.parametrize("how", ["eight", "sampled", "slices"])
def test_results_that_may_differ_are_not_equal(how: str) -> None:
    assert not repeated_layers(Graph.of(measure(seeded(lambda: Listed(how)), zoo.vectors(0), F.cross_entropy)))


def test_directions_count_along_how_many_axes_examples_differ() -> None:
    draw = torch.Generator().manual_seed(0)
    line = torch.randn(64, 1, generator=draw) @ torch.randn(1, 16, generator=draw) + 3.0
    found = spread_facts(line, "weight")
    assert found is not None and found.directions == pytest.approx(1.0, abs=1e-6)
    axes = torch.eye(16).repeat(4, 1)  # centred, fifteen equal eigenvalues are left
    even = spread_facts(axes, "weight")
    assert even is not None and even.directions == pytest.approx(15.0)
    other = spread_facts(axes, "sum")
    assert other is not None and other.directions is None


def test_equal_scores_cost_a_margin_of_classes_what_is_called_chance() -> None:
    x, y = zoo.vectors(0)
    run = measure(nn.Linear(64, 10), (x, y), lambda output, target: 2.0 * F.multi_margin_loss(output, target))
    assert chance(run) == pytest.approx(1.8)
