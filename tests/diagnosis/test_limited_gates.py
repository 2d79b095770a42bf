"""A tanh that only scales another signal is a gate, also where a limit stands between."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.diagnosis.held import alarms, asked


class Inside(nn.Module):
    """Points brought inside the unit ball by their length; or squashed by themselves, far out where tanh is flat."""

    def __init__(self, *, gate: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code, self.head, self.gate = nn.Linear(16, 32), nn.Linear(32, 4), gate

    def forward(self, x: Tensor) -> Tensor:
        point = 20.0 * self.code(x)
        if not self.gate:
            return self.head(torch.tanh(10.0 * point))
        length = point.norm(dim=1, keepdim=True)
        return self.head(5.0 * torch.tanh(length).clamp(max=1.0 - 1e-4) * point / length)


def test_the_length_of_a_point_may_saturate() -> None:
    assert alarms(asked(Inside(gate=True))) == []


def test_units_may_not() -> None:
    assert "saturated-activation" in alarms(asked(Inside(gate=False)))
