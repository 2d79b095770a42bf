"""Every step of an optimizer is told once, however its class is made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import photic
from tests import zoo
from tests.zoo import seeded


class Own(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None if parameter.grad is None else parameter.grad.clone()
        return super().step(closure)


class Inherited(Own):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


@pytest.mark.parametrize("kind", [torch.optim.SGD, Own, Inherited])
@pytest.mark.parametrize("closed", [False, True])
def test_a_step_that_calls_the_step_of_its_class_above_is_one(kind: Any, closed: bool) -> None:
    for each in (torch.optim.SGD, Own):  # torch hooks the step of a class when the first of it is made
        each([nn.Parameter(torch.zeros(1))], 0.1)
    model = seeded(lambda: zoo.Mlp(torch.relu, 2))
    optimizer = kind(model.parameters(), 0.1)
    x, y = zoo.vectors()

    def closure() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with photic.watch(model, optimizer) as watch:
        for _ in range(10):
            if closed:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
    (track,) = watch._tracks.values()
    assert (watch.steps, list(track.audited), watch.faults) == (10, [0, 2, 8], [])
    assert watch.run is not None
    assert all(r.update_ratio and r.gradient for r in watch.run.steps[-1].parameters)
