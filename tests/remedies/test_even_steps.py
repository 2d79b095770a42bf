"""Matrices of a written-out loop made smaller by what a step grows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic import treat
from photic.diagnosis.graph import Graph
from photic.remedies.registry import remedies
from tests.diagnosis.held import BATCHES, asked


class Chain(nn.Module):
    """Each column is written to a vector that goes through the sum of two matrices at every step."""

    def __init__(self, size: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Parameter(size * torch.randn(2, 24, 24))
        self.write, self.head = nn.Linear(1, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros(len(x), 24)
        for column in x[..., None].unbind(1):
            v = torch.einsum("bi,kij->bj", v + self.write(column), self.base)
        return self.head(v)


def prescribed(model: nn.Module) -> Any:
    return next(one for one in remedies() if one.name == "even-steps").prescribe(Graph.of(asked(model, steps=20).run))


@pytest.mark.slow
def test_a_chain_of_matrices_that_blows_up_is_brought_to_steps_of_one_size() -> None:
    found = treat(
        lambda: Chain(1.0),
        BATCHES,
        F.cross_entropy,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=130,
        workers=1,
    )
    assert found.remedy == "even-steps"
    scaled = prescribed(Chain(1.0)).scaled
    assert set(scaled) == {"base"}  # what is written stands beside the state
    assert 0.0 < scaled["base"] < 0.5


def test_it_refuses_what_does_not_grow() -> None:
    assert isinstance(prescribed(Chain(0.1)), str)
    assert isinstance(prescribed(nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))), str)
