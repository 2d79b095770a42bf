"""Probabilities that a loss multiplies with a target are no gates, however sure they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.saturated_gates import saturated_gates
from photic.probes.audit import measure


class Gated(nn.Module):
    """A gate that stands open or shut as the sign of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(16, 16), nn.Linear(16, 1)
        nn.init.orthogonal_(self.layer.weight, 40.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sigmoid(self.layer(x)) * x)


def overlap(logits: Tensor, mask: Tensor) -> Tensor:
    given = torch.sigmoid(logits)
    return 1.0 - 2.0 * (given * mask).sum() / (given.sum() + mask.sum())


def test_a_loss_of_overlaps_has_no_gates_and_a_model_has() -> None:
    x = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    mask = (x[:, :1] > 0.0).float()
    sure = nn.Linear(16, 16)
    nn.init.orthogonal_(sure.weight, 40.0)
    assert saturated_gates(Graph.of(measure(sure, (x, (x > 0.0).float()), overlap))) is None
    assert saturated_gates(Graph.of(measure(Gated(), (x, mask), overlap))) is not None
