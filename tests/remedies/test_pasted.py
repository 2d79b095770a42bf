"""Lines to paste, where no patch can be written."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.remedies.patch import pasted
from photic.remedies.prescription import Prescription
from tests.remedies.test_in_place_of import graph_of


class Folded(nn.Module):
    """Layers that call their activation, in a list of modules."""

    def __init__(self, maps: bool) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 3) if maps else nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(x))


@pytest.mark.parametrize("maps", [True, False])
def test_lines_to_paste_for_what_another_remedy_put_there(maps: bool) -> None:
    """A combination normalises before a tanh that the first remedy put in the place of a ReLU; the untreated run knows no tanh."""
    top = nn.Linear(4 * 4 * 4 if maps else 6 * 4, 2)
    model = nn.Sequential(nn.Unflatten(1, (1, 6, 6) if maps else (6, 6)), Folded(maps), nn.Flatten(), top)
    run = graph_of(model, F.cross_entropy, (torch.randn(8, 36), torch.zeros(8, dtype=torch.long))).run
    prescription = Prescription(
        activations={"1/relu#1": "tanh"}, normalised=("1/tanh#1",), normalisation="layer", why="w"
    )
    line = pasted(prescription, run).splitlines()[-1]
    assert line.startswith("# 1/tanh#1: call it on ") and ("group_norm" in line) is maps, line
