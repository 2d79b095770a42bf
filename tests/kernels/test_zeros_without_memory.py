"""Zeros that torch keeps without memory, as the gradient of `sgn` is: their address is 0, and nobody may read there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import photic
from photic.kernels.moments import moments

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64)


class Signs(nn.Module):
    """A sign after a large layer and one of a parameter: both get such zeros, and the other layers get gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.above = nn.Linear(16, 1200), nn.Linear(1200, 4)
        self.direction = nn.Parameter(torch.randn(1200))

    def forward(self, x: Tensor) -> Tensor:
        return self.above(torch.sgn(self.below(x)) * torch.sgn(self.direction))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 70_000])
def test_their_moments_are_those_of_zeros(dtype: torch.dtype, count: int) -> None:
    nothing = torch._efficientzerotensor(count, dtype=dtype)
    assert nothing.data_ptr() == 0
    assert moments(nothing) == moments(torch.zeros(count, dtype=dtype))


def test_a_watch_and_an_audit_go_through_them() -> None:
    torch.manual_seed(0)
    model = Signs()
    optimizer = torch.optim.Adam(model.parameters())
    with photic.watch(model, optimizer, budget=1.0) as watch:
        for _ in range(30):
            optimizer.zero_grad()
            model(torch.randn(64, 16)).square().mean().backward()
            optimizer.step()
    assert watch.healthy is not None
    run = photic.measure(Signs(), (torch.randn(64, 16), torch.randint(0, 4, (64,))), nn.functional.cross_entropy)
    assert run.site("/sgn#1").order >= 0 and [f.problem for f in photic.diagnose(run).findings]
