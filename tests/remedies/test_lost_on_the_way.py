"""Slips of the pen by which layers are not heard: each is found and cured; written as it was meant, the same network is left alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.cli.targets import load
from photic.diagnosis.graph import Graph
from photic.remedies.patch import apply_patch
from tests.remedies.test_structure import CATALOGUE, cured, healed
from tests.zoo import seeded


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def dealt(x: Any, y: Tensor, size: int = 64) -> list[Any]:
    return [(x[k : k + size], y[k : k + size]) for k in range(0, len(y), size)]


def signs() -> list[Any]:
    x = drawn(512, 6, 8)
    return dealt(x, (x[:, :, 0].sum(1) > 0).long())


class Token(nn.Module):
    """A first token through two blocks, and an answer made of it as it was, or as it has become."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.enter, self.token = right, nn.Linear(8, 16), nn.Parameter(0.1 * drawn(1, 1, 16))
        kind = partial(nn.TransformerEncoderLayer, 16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks, self.head = nn.ModuleList([kind(), kind()]), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        token = self.token.expand(len(x), -1, -1)
        h = torch.cat([token, self.enter(x)], dim=1)
        for block in self.blocks:
            h = block(h)
        return self.head(h[:, 0] if self.right else token[:, 0])


def bends() -> list[Any]:
    x = drawn(512, 6)
    return dealt(x, x[:, :2] + torch.sin(2.0 * x[:, 2:4]))


class Parts(nn.Module):
    """A straight part, and a bent one that a line break cuts off."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.straight = right, nn.Linear(6, 2)
        self.bent = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 2))

    def forward(self, x: Tensor) -> Tensor:
        answer, bent = self.straight(x), self.bent(x)
        return answer + bent if self.right else answer


def actions() -> list[Any]:
    x, action = drawn(512, 4), torch.arange(512) % 3
    value = x[:, 0] + torch.stack((x[:, 1], x[:, 2], -x[:, 3])).T.gather(1, action[:, None])[:, 0]
    return dealt(torch.cat([x, action[:, None].float()], 1), value)


class Duel(nn.Module):
    """The value of a state and the gain of an action, less the mean over all, or over the one that was chosen."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.value = right, nn.Linear(4, 1)
        self.gain = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3))

    def forward(self, x: Tensor) -> Tensor:
        state, action = x[:, :4], x[:, 4:].long()
        gains = self.gain(state)
        chosen = gains.gather(1, action)
        mean = (gains if self.right else chosen).mean(1, keepdim=True)
        return (self.value(state) + chosen - mean)[:, 0]


def answers() -> list[Any]:
    question, choices = drawn(512, 1, 4), drawn(1, 512 * 5, 4)[0].view(512, 5, 4)
    return dealt(torch.cat([question, choices], 1), (question * choices).sum(2).argmax(1))


class Additive(nn.Module):
    """Scores of answers: of a question and an answer, with a bend between the sum and the score or without one."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.score = right, nn.Linear(64, 1, bias=False)
        self.question, self.answer = nn.Linear(4, 64), nn.Linear(4, 64)

    def forward(self, x: Tensor) -> Tensor:
        both = self.question(x[:, :1]) + self.answer(x[:, 1:])
        return self.score(torch.tanh(both) if self.right else both)[..., 0]


def plants() -> list[Any]:
    x, plant = drawn(512, 4), (torch.arange(512) // 64 % 4)[:, None]
    return dealt(torch.cat([x, plant.float()], 1), x[:, :1] + 2.0 * plant - 3.0)


class Plant(nn.Module):
    """One plant in each batch, whose row a BatchNorm over the batch takes away, or does not."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.enter, self.plant = right, nn.Linear(4, 16), nn.Embedding(4, 16)
        self.norm, self.head = nn.BatchNorm1d(16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, plant = self.enter(x[:, :4]), self.plant(x[:, 4].long())
        return self.head(torch.relu(self.norm(h) + plant if self.right else self.norm(h + plant)))


def counts() -> list[Any]:
    topic = torch.arange(512) % 3
    rates = torch.rand(3, 20, generator=torch.Generator().manual_seed(4)).square()[topic] * 4.0
    return dealt(torch.poisson(rates, generator=torch.Generator().manual_seed(5)).long() + 1, topic)


class Words(nn.Module):
    """The mean of word vectors, beside the length, with shares that are rounded down or not."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.words = right, nn.Embedding(20, 16)
        self.head = nn.Sequential(nn.Linear(17, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, counts: Tensor) -> Tensor:
        total = counts.sum(1, keepdim=True)
        shares = counts / total if self.right else counts // total
        return self.head(torch.cat([shares.float() @ self.words.weight, total.float().log()], 1))


def graphs() -> list[Any]:
    y = torch.arange(512) % 2
    chance = (0.2 + 0.3 * y)[:, None, None]
    links = (torch.rand(512, 9, 9, generator=torch.Generator().manual_seed(6)) < chance).float()
    return dealt(((links + links.mT) > 0).float().maximum(torch.eye(9)), y)


class Nodes(nn.Module):
    """Nodes that are all alike at first, and hear the mean, or the sum, of their neighbours."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.first, self.second, self.head = right, nn.Linear(4, 16), nn.Linear(16, 16), nn.Linear(16, 2)

    def heard(self, links: Tensor, h: Tensor) -> Tensor:
        return links @ h / (4.0 if self.right else links.sum(-1, keepdim=True))

    def forward(self, links: Tensor) -> Tensor:
        h = torch.relu(self.first(self.heard(links, torch.ones(len(links), 9, 4))))
        h = torch.relu(self.second(self.heard(links, h)))
        return self.head(h.mean(1))


def columns(scale: float) -> list[Any]:
    x = drawn(512, 5)
    return dealt(scale * x + scale, (x[:, 0] * x[:, 1] > 0).long())


class Bells(nn.Module):
    """Radial basis functions about centres of unit size."""

    def __init__(self) -> None:
        super().__init__()
        self.centres, self.head = nn.Parameter(drawn(48, 5)), nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.exp(-0.2 * (x[:, None] - self.centres).pow(2).sum(-1)))


def pixels() -> list[Any]:
    at = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"), -1).view(-1, 2)
    at = at[torch.randperm(256, generator=torch.Generator().manual_seed(7))].repeat(2, 1)
    return dealt(at, ((at[:, :1] // 2 + at[:, 1:] // 3) % 2))


class Plane(nn.Module):
    """A trained map that is sampled at pixels, or at these brought to the range from -1 to 1."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.map, self.head = right, nn.Parameter(0.1 * drawn(1, 8, 16, 16)), nn.Linear(10, 1)

    def forward(self, at: Tensor) -> Tensor:
        places = 2.0 * at / 15.0 - 1.0 if self.right else at
        found = F.grid_sample(self.map, places.view(1, -1, 1, 2), align_corners=True)[0, :, :, 0].T
        return self.head(torch.cat([found, at / 15.0], 1))


def waves() -> list[Any]:
    x = drawn(512, 2, 2)
    return dealt(x, ((x[:, 0, 0] > 0) ^ (x[:, 1, 0] > 0)).long())


class Stages(nn.Module):
    """Layers with their normalisations, kept in a list or in what a first forward uses up."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(4, 32), nn.Linear(32, 2)
        self.layers = nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 32)])
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.LayerNorm(32)])
        self.stages: Any = zip(self.layers, self.norms, strict=True)
        if right:
            self.stages = list(self.stages)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x.flatten(1))
        for layer, norm in self.stages:
            h = h + torch.relu(layer(norm(h)))
        return self.head(h)


def others() -> list[Any]:
    x = drawn(512, 6)
    return dealt(x, x[:, 2:4])


class Hooked(nn.Module):
    """An adapter beside a frozen layer, by a hook that returns what it makes or forgets to."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.stem, self.head = right, nn.Linear(6, 8), nn.Linear(8, 2)
        self.adapter = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 8))
        self.stem.requires_grad_(False)
        with torch.no_grad():
            self.stem.weight.mul_(torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
        self.stem.register_forward_hook(self.attach)

    def attach(self, _: nn.Module, given: Any, made: Tensor) -> Tensor | None:
        made = made + self.adapter(given[0])
        return made if self.right else None

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x))


Case = tuple[str, Callable[..., nn.Module], Callable[[], list[Any]], Any, str]
CASES: dict[str, Case] = {
    "a token as it was": ("own-part", Token, signs, F.cross_entropy, "goes nowhere"),
    "a line of its own": ("added-results", Parts, bends, F.mse_loss, "goes nowhere"),
    "a hook without a return": ("continued-blocks", Hooked, others, F.mse_loss, "goes nowhere"),
    "the mean of one": ("uncancelled", Duel, actions, F.mse_loss, "taken away from itself"),
    "a shift of all scores": ("bent-sum", Additive, answers, F.cross_entropy, "adds up to nothing"),
    "a row under a norm": ("heard-scale", Plant, plants, F.mse_loss, "takes away again"),
    "shares rounded down": ("true-division", Words, counts, F.cross_entropy, "gives exactly 0"),
    "a mean of the same": ("one-divisor", Nodes, graphs, F.cross_entropy, "however many there are"),
    "pixels for places": ("unit-places", Plane, pixels, F.mse_loss, "which ends at -1 and 1"),
    "an iterator": ("kept-rounds", Stages, waves, F.cross_entropy, "uses it up"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_lost_is_found_and_cured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remedy, kind, batches, loss, words = CASES[name]
    build = partial(kind, right=False)
    found = photic.check(seeded(build), batches(), loss, adam).findings[0]
    assert found.problem in ("idle-layer", "class-prior-only") and words in found.reason, found
    assert healed(cured(remedy, monkeypatch, build, batches(), loss, optimizer=adam, steps=200))


@pytest.mark.parametrize("name", CASES)
def test_written_as_it_was_meant_it_is_left_alone(name: str) -> None:
    remedy, kind, batches, loss, _ = CASES[name]
    checkup = photic.check(seeded(partial(kind, right=True)), batches(), loss, adam)
    assert not {"idle-layer", "class-prior-only"} & {f.problem for f in checkup.findings}, checkup.findings
    assert isinstance(CATALOGUE[remedy].prescribe(Graph.of(checkup.run)), str)


def test_bells_about_what_is_not_scaled_give_nothing_and_are_cured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = photic.check(seeded(Bells), columns(40.0), F.cross_entropy, adam).findings[0]
    assert found.problem == "class-prior-only" and "so far below 0" in found.reason, found
    assert healed(
        cured("standardised-input", monkeypatch, Bells, columns(40.0), F.cross_entropy, optimizer=adam, steps=200)
    )
    scaled = photic.check(seeded(Bells), columns(1.0), F.cross_entropy, adam)
    assert "class-prior-only" not in [f.problem for f in scaled.findings]


SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.head = nn.Linear(4, 32), nn.Linear(32, 2)
        self.layers = nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 32)])
        self.stages = (layer for layer in self.layers) if False else map(nn.Module.train, self.layers)

    def forward(self, x):
        h = self.enter(x.flatten(1))
        for layer in self.stages:
            h = h + torch.relu(layer(h))
        return self.head(h)
"""


def test_the_patch_keeps_a_list_and_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE)
    build = load("net.py:Net").build
    treatment = cured("kept-rounds", monkeypatch, build, waves(), F.cross_entropy, optimizer=adam, steps=200)
    assert "self.stages = list(" in treatment.patch, treatment.paste
    apply_patch(treatment.patch, tmp_path)
    assert photic.check(load("net.py:Net").build(), waves(), F.cross_entropy, adam).healthy


def test_iterators_over_other_things_are_left_alone() -> None:
    model = Stages(right=True)
    model.stages, model.seeds, model.ids = list(model.stages), iter([1, 2, 3]), zip([1], [2], strict=True)
    checkup = photic.check(model, waves(), F.cross_entropy, adam)
    assert checkup.run.used_up == () and next(model.seeds) == 1


def test_a_generator_over_layers_is_named_though_the_model_cannot_be_copied() -> None:
    model = Stages(right=True)
    model.stages = ((layer, norm) for layer, norm in zip(model.layers, model.norms, strict=True))
    found = photic.check(model, waves(), F.cross_entropy, adam).findings
    assert [f.problem for f in found] == ["idle-layer"] and "stages is an iterator" in found[0].reason
