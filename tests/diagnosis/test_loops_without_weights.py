"""Loops whose state meets no parameter: they explode in time, and layers that one line calls in turn are no loop."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.records.findings import Checkup
from tests.diagnosis.held import alarms, asked


class Memory(nn.Module):
    """What 16 columns write to a memory that each step multiplies by a factor and a gate of the input's."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.write, self.head, self.factor = nn.Linear(1, 24), nn.Linear(12, 4), factor

    def forward(self, x: Tensor) -> Tensor:
        written, gates = self.write(x[..., None]).chunk(2, -1)
        memory = torch.zeros_like(written[:, 0])
        for column in range(16):
            memory = memory * (self.factor * torch.sigmoid(gates[:, column])) + written[:, column]
        return self.head(memory)


class Swinging(nn.Module):
    """A force that one layer learns moves a state 40 times, with friction or with its opposite."""

    def __init__(self, friction: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.force, self.friction = nn.Linear(16, 4), friction

    def forward(self, x: Tensor) -> Tensor:
        force, speed = self.force(x), torch.zeros(len(x), 4)
        for _ in range(40):
            speed = speed - self.friction * speed + 0.1 * force
        return speed


class Residual(nn.Module):
    """Twelve layers of their own, called by one line; they blow up because of their weights."""

    def __init__(self, size: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.head = nn.ModuleList([nn.Linear(16, 16) for _ in range(12)]), nn.Linear(16, 4)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=size)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + torch.tanh(layer(x)) * 1.0
        return self.head(x)


class Turned(nn.Module):
    """One layer moves a residual stream 12 times."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = nn.Linear(16, 16), nn.Linear(16, 4)
        nn.init.normal_(self.layer.weight, std=0.6)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(12):
            x = x + F.relu(self.layer(x))
        return self.head(x)


def told(checkup: Checkup) -> str:
    return alarms(checkup)[0] if alarms(checkup) else ""


def test_a_memory_that_grows_at_each_step_explodes_in_time() -> None:
    assert told(asked(Memory(5.0))) == "exploding-in-time"
    assert told(asked(Swinging(-0.25))) == "exploding-in-time"


def test_one_that_fades_or_stays_does_not() -> None:
    assert "exploding-in-time" not in alarms(asked(Memory(1.0)))
    assert "exploding-in-time" not in alarms(asked(Memory(2.0)))
    assert "exploding-in-time" not in alarms(asked(Swinging(0.2)))


def test_layers_of_their_own_are_no_loop() -> None:
    assert "exploding-in-time" not in alarms(asked(Residual(2.0)))


def test_a_stream_moved_by_one_layer_again_and_again_is_a_loop_and_wants_no_normalisation() -> None:
    assert alarms(asked(Turned(), rate=1e-3)) == ["exploding-in-time"]
