"""What a compiled model holds beside tensors, its own generators and lists, is as it would be without the pass beside."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from tests import zoo
from tests.zoo import seeded

pytestmark = pytest.mark.filterwarnings("ignore")


class Host(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layers, self.head, self.kind = nn.ModuleList(nn.Linear(64, 64) for _ in range(3)), nn.Linear(64, 10), kind
        self.numpy, self.old = np.random.default_rng(0), np.random.RandomState(0)
        self._python, self.nested = random.Random(0), {"a": {"torch": (torch.Generator().manual_seed(0),)}}
        self._extra: list[Tensor] = []
        self.nest: dict[str, Any] = {"b": [deque[Tensor](maxlen=4)]}

    def draws(self) -> float:
        if self.kind == "torch":
            return float(torch.rand((), generator=self.nested["a"]["torch"][0]))
        drawn = {"numpy": self.numpy.random, "old": self.old.random_sample, "python": self._python.random}
        return float(drawn[self.kind]()) if self.kind in drawn else 1.0

    @property
    def store(self) -> Any:
        return self._extra if self.kind == "private" else self.nest["b"][0]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x)) * self.draws()
        if self.kind in ("private", "nested"):
            self.store.append(0.1 * x.pow(2).mean())
        return self.head(x)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("kind", ["numpy", "old", "python", "torch", "private", "nested"])
def test_no_bit_is_another(kind: str) -> None:
    x, y = zoo.vectors()

    def train(*, watched: bool) -> tuple[list[float], Any]:
        torch._dynamo.reset()
        model = seeded(lambda: Host(kind))
        called, optimizer = torch.compile(model, backend="eager"), torch.optim.SGD(model.parameters(), 0.1)
        watch = photic.watch(called, optimizer, every=1) if watched else None
        losses: list[float] = []
        for _ in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(called(x), y) + sum(model.store)
            loss.backward()
            optimizer.step()
            losses += [loss.item(), len(model.store)]
            model.store.clear()
        if watch is not None:
            watch.close()
        return losses, watch

    plain, _ = train(watched=False)
    watched, watch = train(watched=True)
    assert plain == watched and watch.faults == [] and watch.notes[:-1] == []
    assert watch.run is not None and len(watch.run.steps) == 2


def test_the_pass_beside_draws_the_same_numbers() -> None:
    """A network whose own generator chooses its layers shows the layers that ran."""

    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.rng, self.chosen = (
                nn.ModuleList(nn.Linear(64, 64) for _ in range(6)),
                random.Random(3),
                list[list[int]](),
            )

        def forward(self, x: Tensor) -> Tensor:
            chosen = [k for k in range(6) if self.rng.random() < 0.5]
            self.chosen.append(chosen)
            for k in chosen:
                x = self.layers[k](x)
            return x

    model = seeded(Choosing)
    x, y = zoo.vectors()
    called, optimizer = torch.compile(model, backend="eager"), torch.optim.SGD(model.parameters(), 0.1)
    with photic.watch(called, optimizer) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(called(x), y).backward()
            optimizer.step()
    assert watch.faults == [] and watch.run is not None and len(model.chosen) == 3
    assert [s.name for s in watch.run.sites if s.operation == "linear"] == [f"layers.{k}" for k in model.chosen[2]]
