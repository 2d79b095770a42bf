"""What glances leave in the record, and what they lead to between the audits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records.stores import StoreReader
from tests import zoo
from tests.zoo import seeded

STEPS = 12


def rows(file: Path, series: str) -> dict[int, tuple[float, ...]]:
    return dict(StoreReader(file).rows(series))


def network() -> nn.Sequential:
    return nn.Sequential(*[layer for _ in range(3) for layer in (nn.Linear(64, 64), nn.Tanh())], nn.Linear(64, 10))


def test_the_norms_of_the_parameters_gradients_are_those_that_the_optimizer_meets(tmp_path: Path) -> None:
    model, (x, y) = seeded(network), zoo.vectors()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, nesterov=True, momentum=0.9)
    met: list[list[float]] = []
    with photic.watch(model, optimizer, every=1, record=tmp_path / "run.photic"):
        for _ in range(STEPS):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            met.append([float(p.grad.norm()) for p in model.parameters() if p.grad is not None])
            optimizer.step()
    read = rows(tmp_path / "run.photic", "glance/weights")
    assert len(read) >= STEPS - 4  # audits are at 0, 2 and 8
    for step, values in read.items():
        assert values == pytest.approx(met[step], rel=1e-5)
    assert StoreReader(tmp_path / "run.photic").facts()["weights"] == [name for name, _ in model.named_parameters()]


def test_each_optimizers_step_tells_of_its_own_parameters(tmp_path: Path) -> None:
    model, (x, y) = seeded(network), zoo.vectors()
    body, head = torch.optim.SGD(model[:-1].parameters(), 0.05), torch.optim.SGD(model[-1].parameters(), 0.05)
    with photic.watch(model, [body, head], every=1, record=tmp_path / "run.photic"):
        for _ in range(STEPS):
            for optimizer in (body, head):
                model.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    read = rows(tmp_path / "run.photic", "glance/weights")
    own: set[Sequence[bool]] = {tuple(math.isnan(value) for value in values) for values in read.values()}
    assert own == {(False,) * 6 + (True,) * 2, (True,) * 6 + (False,) * 2}


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_under_a_scaler_are_those_of_the_users_own_loss(tmp_path: Path, fused: bool) -> None:
    read: list[list[dict[int, tuple[float, ...]]]] = []
    for scale in (1.0, 4096.0):
        file = tmp_path / f"{scale}.photic"
        model, (x, y) = seeded(network), zoo.vectors()
        optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
        with photic.watch(model, optimizer, every=1, record=file):
            for _ in range(STEPS):
                optimizer.zero_grad()
                scaler.scale(F.cross_entropy(model(x), y)).backward()
                scaler.step(optimizer)
                scaler.update()
        read.append([rows(file, "glance/gradient"), rows(file, "glance/weights")])
    for plain, scaled in zip(*read, strict=True):
        assert len(plain) >= STEPS - 4 and plain.keys() == scaled.keys()
        for step, values in plain.items():
            assert scaled[step] == pytest.approx(values, rel=1e-3)


def test_a_layer_that_shuts_long_after_the_start_is_found_soon() -> None:
    class Shutting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(6))
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.head(x)

    model, (x, y) = seeded(Shutting), zoo.vectors()
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    told: list[tuple[str, int]] = []
    with photic.watch(model, optimizer, every=1, on_finding=lambda finding, step: told.append((finding.problem, step))):
        for step in range(660):
            if step == 620:  # the next audit of the start-up's spacing would be that of step 675
                with torch.no_grad():
                    model.layers[3].bias.fill_(-100.0)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    late = [step for problem, step in told if problem in ("dead-units", "idle-layer", "severed-gradient")]
    assert late and 620 <= late[0] <= 630, told
