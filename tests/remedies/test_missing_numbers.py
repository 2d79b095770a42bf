"""Numbers of a batch that are nan or infinite: told as what they are, and filled in."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.check import check
from photic.diagnosis.graph import Graph
from photic.probes.audit import measure
from photic.remedies.treat import treat
from tests.remedies.test_catalogue import CATALOGUE
from tests.zoo import seeded


def batches(missing: float, *, first: bool = True, share: float = 0.003) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    found: list[tuple[Tensor, Tensor]] = []
    for index in range(24):
        x = torch.randn(64, 10, generator=draw)
        y = (x[:, :1] * x[:, 1:2] + x[:, 2:3]).clone()
        if first or index >= 3:
            x = torch.where(torch.rand(x.shape, generator=draw) < share, missing, x)
        found.append((x, y))
    return found


def build() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1)))


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


@pytest.mark.parametrize("missing", [math.nan, math.inf])
@pytest.mark.parametrize("first", [True, False])
def test_missing_numbers_are_found_in_the_batch_and_filled_in(missing: float, first: bool) -> None:
    given = batches(missing, first=first)
    treatment = treat(build, given, F.mse_loss, optimizer=adam, steps=100, workers=1, seeds=(0,))
    (finding,) = [f for f in treatment.record.before.findings if f.problem == "non-finite"]
    assert finding.sites == ("0",) and "of the 640 numbers that enter the network are nan or infinite" in finding.reason
    assert treatment.remedy == "filled-input", treatment.report()
    x = given[-1][0]
    model = treatment.setup().model
    assert bool(torch.isfinite(model(x)).all())
    torch.testing.assert_close(model(x), model(torch.nan_to_num(x, 0.0, 0.0, 0.0)), rtol=0.0, atol=0.0)


def test_what_a_formula_makes_of_finite_numbers_is_no_matter_of_the_batch() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(10, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sqrt(x) @ self.layer.weight.mT

    run = measure(seeded(Root), batches(0.0)[0], F.mse_loss)
    (finding,) = [f for f in check(seeded(Root), batches(0.0), F.mse_loss).findings if f.problem == "non-finite"]
    assert "sqrt" in finding.reason and "enter the network are nan" not in finding.reason
    assert CATALOGUE["filled-input"].prescribe(Graph.of(run)) == "all numbers that enter are finite"


def test_a_mask_of_minus_infinity_that_enters_is_meant() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores, self.head = nn.Linear(10, 10), nn.Linear(10, 1)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.head((self.scores(x) + mask).softmax(-1) * x)

    draw = torch.Generator().manual_seed(1)
    mask = torch.where(torch.rand(64, 10, generator=draw) < 0.3, -math.inf, 0.0)
    given: list[Any] = [((x, mask), y) for x, y in batches(0.0)]
    model = seeded(Reader)
    assert not [f for f in check(model, given, F.mse_loss, adam(model)).findings if f.problem == "non-finite"]


def test_where_much_is_missing_nothing_is_filled_in() -> None:
    run = measure(build(), batches(math.nan, share=0.3)[0], F.mse_loss)
    assert "more than a tenth" in str(CATALOGUE["filled-input"].prescribe(Graph.of(run)))
