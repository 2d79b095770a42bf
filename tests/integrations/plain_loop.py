"""The yardstick of the integrations: the same network, data and steps in a plain loop, watched by `photic.watch`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.watching import Watch
from photic.records.runs import Run

STEPS, ROWS, ACCUMULATE, CLIP, RATE = 12, 8, 2, 0.05, 0.1


class Net(nn.Module):
    def __init__(self, activation: Callable[[Tensor], Tensor] = torch.relu, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        self.head = nn.Linear(16, 4)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.activation(layer(x))
        return self.head(x)


class WithLoss(Net):
    """The form that the Trainer of transformers wants: the output carries the loss."""

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        logits = super().forward(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def build(kind: type[Net] = Net, **settings: Any) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(**settings)


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = STEPS * ACCUMULATE * ROWS
    return torch.randn(rows, 16, generator=generator), torch.randint(4, (rows,), generator=generator)


def train(model: Net, *, watched: bool = True) -> Watch | None:
    """Train as the trainers do: micro-batches in order, losses over their number, clipped, one step."""
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    watch = Watch(model, optimizer) if watched else None
    x, y = data()
    for k in range(STEPS * ACCUMULATE):
        rows = slice(k * ROWS, (k + 1) * ROWS)
        if isinstance(model, WithLoss):
            loss = model(x[rows], labels=y[rows])["loss"]
        else:
            loss = F.cross_entropy(model(x[rows]), y[rows])
        (loss / ACCUMULATE).backward()
        if (k + 1) % ACCUMULATE == 0:
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad()
    if watch is not None:
        watch.close()
        assert not watch.faults
    return watch


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Bit for bit."""
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    return all(torch.equal(a, b) for a, b in pairs) and len(pairs) > 0


def numbers(run: Run) -> dict[str, float]:
    """Everything that was read of the parameters, and the gradients of the linear layers, by step and name."""
    found: dict[str, float] = {}
    for step in run.steps:
        for parameter, reading in zip(run.parameters, step.parameters, strict=True):
            assert reading.gradient is not None
            name = f"{step.step} {parameter.name.removeprefix('net.')}"
            found[f"{name} weight"] = reading.weight.rms
            found[f"{name} gradient"] = reading.gradient.norm
            found[f"{name} update"] = math.nan if reading.update_ratio is None else reading.update_ratio
            found[f"{name} before"] = math.nan if reading.before_clipping is None else reading.before_clipping
        for site, reading in zip(run.sites, step.sites, strict=True):
            if site.operation == "linear" and reading.gradient is not None:
                found[f"{step.step} {site.module.removeprefix('net.')} arrives"] = reading.gradient.norm
        found[f"{step.step} clip"] = math.nan if step.clip_norm is None else step.clip_norm
    assert all(math.isfinite(value) for value in found.values()), found
    return found
