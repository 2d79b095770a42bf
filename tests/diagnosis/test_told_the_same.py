"""Layers that are told the same of every example: found by whatever makes it so, and no alarm where nothing does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.diagnosis.told_the_same import told_the_same
from tests.remedies.test_structure import cured, digits
from tests.zoo import seeded


class Branches(nn.Module):
    """Two residual branches, each of which is given the stream after something was done to it."""

    def __init__(self, done: Callable[[Tensor], Tensor], depth: int = 2) -> None:
        super().__init__()
        self.done, self.head = done, nn.Linear(64, 10)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for branch in self.branches:
            x = x + branch(self.done(x))
        return self.head(x)


SAME: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a rounding on another scale": (lambda x: (x / 100.0).round(), "round"),
    "a norm over one number": (lambda x: F.layer_norm(x[..., None], (1,))[..., 0] + 1.0, "layer_norm"),
    "the size of what has been normalised": (lambda x: (F.normalize(x, dim=-1) ** 2).sum(-1, keepdim=True).expand_as(x), "sum"),
    "times nothing": (lambda x: x * 0.0, "mul"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_it_is_found_and_what_makes_it_so_is_named(name: str) -> None:
    done, named = SAME[name]
    model = seeded(lambda: Branches(done))
    findings = photic.check(model, digits(), F.cross_entropy, torch.optim.Adam(model.parameters())).findings
    (finding,) = [f for f in findings if f.problem == "idle-layer"]
    assert "branches.1.0" in finding.sites
    assert f"/{named}#" in finding.reason and "one value for all examples" in finding.reason


def test_a_mean_over_the_batch_may_be_meant() -> None:
    model = seeded(lambda: Branches(lambda x: x.mean(0, keepdim=True).expand_as(x)))
    findings = photic.check(model, digits(), F.cross_entropy, torch.optim.Adam(model.parameters())).findings
    assert [f.severity for f in findings if f.problem == "idle-layer"] == ["info"]


@pytest.mark.parametrize("name", ["a norm over one number"])
def test_without_it_the_branches_hear(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = SAME[name][0]
    target = [(x, (x[:, :10] * x[:, 10:20]).argmax(1)) for x, _ in digits()]
    treatment = cured(
        "left-out",
        monkeypatch,
        lambda: Branches(done),
        target,
        F.cross_entropy,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=120,
    )
    treated, untreated = (next(t for t in treatment.trials if t.remedy == n) for n in ("left-out", "untreated"))
    assert (treated.held_back_loss or 0.0) < 0.75 * (untreated.held_back_loss or 0.0)


class Queries(nn.Module):
    """Queries that are learned read from the batch: what makes them is no matter of the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.ask, self.tell = nn.Parameter(torch.randn(4, 16)), nn.Linear(16, 16), nn.Linear(8, 16)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        told = self.tell(x.view(len(x), 8, 8))
        shares = (self.ask(self.query) @ told.mT / 4.0).softmax(-1)
        return self.head((shares @ told).flatten(1))


class Told(nn.Module):
    """A time, a mask and places that are the same for all examples of these batches by nature."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.time, self.place, self.head = (
            nn.Linear(64, 16),
            nn.Linear(2, 16),
            nn.Linear(1, 16),
            nn.Linear(16, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        at = x.new_full((len(x), 1), 0.3) + 0.0 * x[:, :1].detach().clamp(0, 0)
        counted = (x.abs() + 1.0 > 0.0).float().sum(1, keepdim=True) / 64.0
        h = self.enter(x) + self.time(torch.cat([torch.sin(at), torch.cos(at)], 1)) + self.place(counted)
        return self.head(torch.relu(h))


class Decoder(nn.Module):
    """torch's own transformer with learned queries."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.query, self.head = nn.Linear(8, 16), nn.Parameter(torch.randn(1, 4, 16)), nn.Linear(64, 10)
        self.body = nn.Transformer(16, 2, 1, 1, 32, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x.view(len(x), 8, 8))
        return self.head(self.body(h, self.query.expand(len(x), -1, -1)).flatten(1))


class Recurrent(nn.Module):
    """A state that starts at nothing, and layers that are drawn at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.late, self.head = nn.GRUCell(8, 16), nn.Linear(16, 16), nn.Linear(16, 10)
        nn.init.zeros_(self.late.weight)
        nn.init.zeros_(self.late.bias)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 16)
        for part in x.view(len(x), 8, 8).unbind(1):
            state = self.cell(part, state)
        return self.head(state + torch.relu(self.late(state)))


@pytest.mark.parametrize(
    "build", [Queries, Recurrent, Told, Decoder, lambda: Branches(torch.tanh), lambda: Branches(F.normalize)]
)
def test_what_differs_or_is_learned_is_left_alone(build: Callable[[], Any]) -> None:
    model = seeded(build)
    run = photic.check(model, digits(), F.cross_entropy, torch.optim.Adam(model.parameters())).run
    assert told_the_same(Graph.of(run)) is None
