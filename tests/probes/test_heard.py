"""Which share of the input is heard: by the law of a receptive field, and what a check says of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.probes.heard import unheard
from tests.zoo import seeded


class Causal(nn.Module):
    """Convolutions over the past, with a dilation that grows or does not; the last place is read."""

    def __init__(self, layers: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(1 if k == 0 else 8, 8, 3, dilation=growth**k) for k in range(layers)])
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = x[:, None]
        for layer in self.layers:
            h = torch.tanh(layer(F.pad(h, (2 * layer.dilation[0], 0))))
        return self.head(h[..., -1])[:, 0]


def series() -> list[Any]:
    x = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
    return [(x[k : k + 64], x[k : k + 64, 10]) for k in range(0, 512, 64)]


@pytest.mark.parametrize(("layers", "growth"), [(1, 1), (3, 1), (4, 2), (5, 2)])
def test_what_lies_beyond_the_receptive_field_is_not_heard(layers: int, growth: int) -> None:
    field = 1 + 2 * sum(growth**k for k in range(layers))
    model = seeded(partial(Causal, layers, growth))
    assert unheard(model, series()[0]) == pytest.approx(max(0, 64 - field) / 64)


def test_nothing_is_changed_and_what_cannot_be_asked_is_not_accused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before, state = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    assert unheard(model, (torch.randn(8, 4, generator=torch.Generator().manual_seed(1)), None)) == 0.0
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert unheard(nn.Embedding(4, 2), (torch.zeros(8, 3, dtype=torch.long), None)) is None


def test_a_network_that_stands_is_told_how_much_it_does_not_hear() -> None:
    adam = partial(torch.optim.Adam, lr=3e-3)
    found = photic.check(
        seeded(partial(Causal, 4, 1)), series(), F.mse_loss, lambda model: adam(model.parameters())
    ).findings
    assert any("85.9 % of an example's numbers are not heard" in f.reason for f in found), found
