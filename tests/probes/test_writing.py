"""Weights that a forward writes into are as they were after an audit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.audit import measure

DEPTH = 1.0 / 16


class Gridded(nn.Linear):
    """Writes its weights to a grid in each forward, in place or as other memory."""

    def __init__(self, *, other: bool) -> None:
        super().__init__(8, 8)
        self.other, self.entered = other, 0

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            on_grid = torch.round(self.weight / DEPTH) * DEPTH
            if self.other:
                self.weight.data = on_grid
            else:
                self.weight.copy_(on_grid)
            self.bias[0] += 1.0
        return F.linear(x, self.weight, self.bias)


@pytest.mark.parametrize("other", [False, True])
def test_weights_that_a_forward_writes_into_are_put_back(other: bool) -> None:
    model = nn.Sequential(Gridded(other=other), nn.Tanh(), nn.Linear(8, 2))
    before = [(p, p.data_ptr(), p.detach().clone()) for p in model.parameters()]
    batch = torch.randn(4, 8), torch.randint(0, 2, (4,))
    run = measure(model, batch, F.cross_entropy)
    assert run.site("0/set#1" if other else "0/copy#1").phase == "model"
    for parameter, place, values in before:
        assert parameter.data_ptr() == place and torch.equal(parameter, values)


def test_pieces_of_one_memory_are_put_back_together() -> None:
    memory = torch.randn(2, 8, 8)

    class Pieces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Parameter(memory[0]), nn.Parameter(memory[1])

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                for piece in (self.first, self.second):
                    piece.mul_(0.5)
            return x @ self.first @ self.second

    before = memory.clone()
    measure(Pieces(), (torch.randn(4, 8), torch.randn(4, 8)), F.mse_loss)
    assert torch.equal(memory, before)


def test_what_writes_in_place_within_a_transform_of_torch_func_is_let_pass() -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.func.vmap(lambda row: (row * 2.0).mul_(0.5))(self.layer(x))

    run = measure(Mapped(), (torch.randn(4, 8), torch.randn(4, 4)), F.mse_loss)
    assert not run.stopped
