"""Kinds of tensors that no layer of torch's makes: complex parameters, and the wrappers of `torch.func`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from tests import zoo
from tests.zoo import seeded


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.filter = nn.Linear(64, 10), nn.Parameter(torch.ones(64, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.fft.ifft(torch.fft.fft(x) * self.filter).real)


class Transforming(nn.Module):
    """Adds the gradient of one of its layers to what it reads, example by example."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(64, 1), nn.Linear(64, 10)

    def energy(self, row: Tensor) -> Tensor:
        return torch.tanh(self.inner(row)).sum()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + torch.func.vmap(torch.func.grad(self.energy))(x))


def train(build: Callable[[], nn.Module], make: Any, *, watched: bool) -> tuple[list[float], Any]:
    model = seeded(build)
    optimizer = make(model.parameters(), 0.01)
    x, y = zoo.vectors()
    watch = photic.watch(model, optimizer, every=1) if watched else None
    losses: list[float] = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if watch is not None:
        watch.close()
    return losses, watch


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("build", [Spectral, Transforming])
def test_the_training_is_the_same_and_is_read(build: Callable[[], nn.Module], make: Any) -> None:
    plain, _ = train(build, make, watched=False)
    watched, watch = train(build, make, watched=True)
    assert plain == watched and watch.faults == []
    assert watch.run is not None and watch.run.steps[-1].loss == pytest.approx(plain[2])
    readings = dict(zip([p.name for p in watch.run.parameters], watch.run.steps[-1].parameters))
    assert all(reading.update_ratio for reading in readings.values()), readings
    assert watch.run.reading("head").gradient is not None


def test_a_step_of_a_complex_parameter_is_measured() -> None:
    model = seeded(Spectral)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    x, y = zoo.vectors()
    before = model.filter.detach().clone()
    with photic.watch(model, optimizer) as watch:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert watch.run is not None
    (reading,) = [r for p, r in zip(watch.run.parameters, watch.run.steps[0].parameters) if p.name == "filter"]
    moved = (model.filter.detach() - before).abs().pow(2).sum().sqrt() / 8.0
    assert reading.update_ratio == pytest.approx(float(moved), rel=1e-5)


def test_a_model_called_only_inside_a_transform_ends_no_watch() -> None:
    model = seeded(lambda: zoo.Mlp(torch.relu, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = zoo.vectors()
    with photic.watch(model, optimizer) as watch:
        for _ in range(4):
            held = {name: p.detach() for name, p in model.named_parameters()}
            found = torch.func.grad(lambda given: F.cross_entropy(torch.func.functional_call(model, given, (x,)), y))(
                held
            )
            for name, parameter in model.named_parameters():
                parameter.grad = found[name]
            optimizer.step()
    assert watch.faults == [] and not torch.overrides._get_current_function_mode_stack()
