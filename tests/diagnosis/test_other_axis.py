"""A normalisation in front that runs over another axis leaves raw columns as far from 0 as they came."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.remedies.catalogue.standardised_input import standardised_input
from photic.remedies.prescription import Prescription
from tests.diagnosis.held import alarms
from tests.zoo import seeded

STEPS, JOINTS = 20, 10


class Poses(nn.Module):
    """An LSTM over coordinates of joints in pixels, normalised first."""

    def __init__(self, over: str) -> None:
        super().__init__()
        self.over = over
        self.norm = nn.LayerNorm(JOINTS) if over == "layer" else nn.BatchNorm1d(STEPS if over == "time" else JOINTS)
        self.cells, self.head = nn.LSTM(JOINTS, 32, batch_first=True), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.transpose(1, 2)).transpose(1, 2) if self.over == "joints" else self.norm(x)
        return self.head(self.cells(x)[0][:, -1])


def poses(place: float = 800.0) -> list[tuple[Tensor, Tensor]]:
    """Each joint swings around a place of its own by a few pixels; how far and in which sense is the action."""
    draw = torch.Generator().manual_seed(3)
    places, style = place * torch.rand(JOINTS, generator=draw), torch.randn(4, JOINTS, generator=draw)
    batches: list[tuple[Tensor, Tensor]] = []
    for _ in range(24):
        action, phase = torch.randint(4, (32,), generator=draw), 6.3 * torch.rand(32, 1, generator=draw)
        swing = torch.sin(0.7 * torch.arange(STEPS) + phase)[..., None] * style[action][:, None]
        batches.append((places + 8.0 * swing + 2.0 * torch.randn(32, STEPS, JOINTS, generator=draw), action))
    return batches


@pytest.mark.parametrize(
    ("over", "place", "sick"),
    [("time", 800.0, True), ("layer", 800.0, True), ("joints", 800.0, False), ("time", 1.0, False)],
)
def test_columns_that_it_leaves_as_they_came_are_named(over: str, place: float, sick: bool) -> None:
    model = seeded(lambda: Poses(over))
    checkup = photic.check(model, poses(place), F.cross_entropy, torch.optim.Adam(model.parameters(), 3e-3))
    assert ("unscaled-input" in alarms(checkup)) is sick
    prescribed = standardised_input(Graph.of(checkup.run))
    assert isinstance(prescribed, Prescription) is sick
    if sick:
        (finding,) = [f for f in checkup.findings if f.problem == "unscaled-input"]
        assert finding.sites == ("norm",) and "leave it so" in finding.reason


def test_a_loss_that_comes_down_to_one_answer_for_all_is_not_said_to_stand() -> None:
    batches = [(x, (y > 2).long() * (torch.arange(32) % 4 == 0)) for x, y in poses()]  # one in sixteen
    model = seeded(lambda: Poses("time"))
    with torch.no_grad():
        model.head.bias[0] = -3.0
    checkup = photic.check(model, batches, F.cross_entropy, torch.optim.Adam(model.parameters(), 3e-2))
    (finding,) = [f for f in checkup.findings if f.problem == "unscaled-input" and f.severity == "warning"]
    assert "steps take the loss down to" in finding.reason and "one answer for all examples costs" in finding.reason
    still = photic.check(seeded(lambda: Poses("time")), poses(), F.cross_entropy)
    (finding,) = [f for f in still.findings if f.problem == "unscaled-input"]
    assert finding.reason.endswith("steps do not lower the loss.")
