"""Layers that run and are not heard: a dropped result, a mask that lets nothing through, a width of 0."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.records.findings import Checkup
from tests import zoo
from tests.zoo import seeded


def check(model: nn.Module, batches: Any = None) -> Checkup:
    given = batches or [zoo.vectors(seed) for seed in range(4)]
    return photic.check(model, given, F.cross_entropy, lambda module: torch.optim.Adam(module.parameters(), 1e-2))


def alarms(checkup: Checkup) -> list[str]:
    return [f.problem for f in checkup.findings if f.severity != "info"]


class Blocks(nn.Module):
    """Two blocks between a stem and a head; what they return is kept, kept for the log, or handed out."""

    def __init__(self, how: str = "dropped", classes: int = 10) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 32), nn.Linear(32, classes)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.Tanh()) for _ in range(2))
        self.how, self.seen = how, 0.0

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        y = x
        for block in self.blocks:
            y = block(x)
            x = y if self.how == "kept" else x
        self.seen = float(y.detach().norm())
        return (self.head(x), y) if self.how == "handed out" else self.head(x)


class Looking(nn.Module):
    """Words looked at through a mask, summed with a query's weights; word 0 is padding."""

    def __init__(self, mask: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.words, self.score = nn.Embedding(12, 16, padding_idx=0), nn.Linear(16, 1)
        self.value, self.head = nn.Linear(16, 16, bias=False), nn.Linear(16, 4)
        self.first, self.mask = nn.Embedding(12, 16), mask

    def forward(self, text: Tensor) -> Tensor:
        x = self.words(text)
        shares = torch.softmax(self.score(x), dim=1) * self.mask(text)[..., None]
        return self.head(self.first(text[:, 0]) + (shares.transpose(1, 2) @ self.value(x))[:, 0])


def texts(seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    found: list[tuple[Tensor, Tensor]] = []
    for _ in range(6):
        text = torch.randint(5, 12, (64, 7), generator=draw)
        label = torch.randint(4, (64,), generator=draw)
        text[torch.arange(64), torch.randint(1, 4, (64,), generator=draw)] = 1 + label
        text[:, 5:] = 0
        found.append((text, label))
    return found


class Narrow(nn.Module):
    """A stem, a block of a hidden width, and a head."""

    def __init__(self, hidden: int, classes: int = 10) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 16), nn.Linear(16, classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that there is nothing to draw
            self.enter, self.leave = nn.Linear(16, hidden), nn.Linear(hidden, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.leave(F.relu(self.enter(x))))


def ignorant(batches: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """The same with labels that nothing tells, so that no network learns them from the rest."""
    return [
        (x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(k))]) for k, (x, y) in enumerate(batches)
    ]


def test_a_block_whose_result_is_dropped_is_idle() -> None:
    checkup = check(seeded(Blocks), ignorant([zoo.vectors(seed) for seed in range(8)]))
    (found,) = [f for f in checkup.findings if f.problem == "idle-layer"]
    assert found.severity == "warning" and found.sites == ("blocks.0.0", "blocks.1.0")


def test_a_dropped_result_is_information_where_the_network_learns_without_it() -> None:
    checkup = check(seeded(Blocks))
    assert "idle-layer" not in alarms(checkup)
    assert any(f.problem == "idle-layer" for f in checkup.findings)


def test_blocks_that_are_heard_are_not_idle() -> None:
    assert not any(f.problem == "idle-layer" for f in check(seeded(lambda: Blocks("kept"))).findings)


def test_a_result_that_is_handed_out_is_heard() -> None:
    def first(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return F.cross_entropy(output[0], target)

    checkup = photic.check(seeded(lambda: Blocks("handed out")), [zoo.vectors(seed) for seed in range(4)], first)
    idle = [f.sites for f in checkup.findings if f.problem == "idle-layer"]
    assert idle == [("blocks.0.0",)]  # the second is an output, which the loss does not look at


def test_a_mask_that_lets_only_padding_through_leaves_layers_idle() -> None:
    checkup = check(seeded(lambda: Looking(lambda text: text == 0)), texts())
    (found,) = [f for f in checkup.findings if f.problem == "idle-layer"]
    assert found.severity == "warning" and "value" in found.sites


def test_a_mask_that_lets_words_through_leaves_no_layer_idle() -> None:
    checkup = check(seeded(lambda: Looking(lambda text: text != 0)), texts())
    assert not any(f.problem == "idle-layer" for f in checkup.findings)


def test_layers_without_a_unit_are_idle_and_overflow_nothing() -> None:
    checkup = check(seeded(lambda: Narrow(0)), ignorant([zoo.vectors(seed) for seed in range(8)]))
    assert alarms(checkup)[:1] == ["idle-layer"] and "non-finite" not in alarms(checkup)
    assert checkup.findings[0].sites == ("enter", "leave")
    assert not any(f.problem == "idle-layer" for f in check(seeded(lambda: Narrow(8))).findings)
