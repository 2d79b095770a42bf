"""A network that learns its batches and nothing of the held-back ones lacks examples; no remedy is tried."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from photic.remedies.treat import HEALTHY, treat


def test_a_network_that_learns_by_heart_is_left_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 16, 64, generator=draw), torch.randn(8, 16, 1, generator=draw)
    treatment = treat(
        lambda: nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)),
        list(zip(x, y, strict=True)),
        F.mse_loss,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), 3e-3),
        steps=120,
    )
    assert not treatment.accepted and not treatment.trials
    assert any(HEALTHY in note for note in treatment.record.notes)
