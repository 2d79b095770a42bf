"""Networks whose backward pass torch refuses: a check says so in torch's words and in ours, and raises nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic

BATCHES = [(torch.randn(8, 16), torch.randint(0, 4, (8,))) for _ in range(4)]


class Refused(nn.Module):
    """One layer and a head, with what torch cannot differentiate between them."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.below, self.above, self.fault = nn.Linear(16, 32), nn.Linear(32, 4), fault
        self.state = torch.zeros(8, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.below(x)
        if self.fault == "no derivative":
            return self.above(torch.heaviside(x, torch.zeros(())))
        if self.fault == "changed in place":
            hidden = torch.sigmoid(x)
            output = self.above(hidden)
            hidden.add_(1.0)
            return output
        self.state = torch.tanh(x + self.state)
        return self.above(self.state)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no derivative", ("in the backward pass", "heaviside")),
        ("changed in place", ("in the backward pass", "inplace operation")),
        ("state kept", ("in step 2", "state = state.detach()")),
    ],
)
def test_what_torch_refuses_stops_the_check_and_not_the_caller(fault: str, words: tuple[str, ...]) -> None:
    def descent(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), 0.1)

    model = Refused(fault)
    before = [parameter.clone() for parameter in model.parameters()]
    checkup = photic.check(model, BATCHES, F.cross_entropy, descent)
    assert all(word in checkup.run.stopped for word in words), checkup.run.stopped
    assert checkup.run.sites[0].name == "below" and all(map(torch.equal, model.parameters(), before))
    treatment = photic.treat(lambda: Refused(fault), BATCHES, F.cross_entropy, optimizer=descent)
    assert not treatment.accepted and words[1] in treatment.record.notes[-1]
