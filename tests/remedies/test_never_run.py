"""Layers that never run, or that a derivative does not depend on: said as information, and cured where that trains far better."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from tests.remedies.test_lost_on_the_way import Case, adam, dealt, drawn
from tests.remedies.test_structure import CATALOGUE, cured
from tests.zoo import seeded


def forces() -> list[Any]:
    place, kind = drawn(512, 2), torch.arange(512) % 3
    return dealt(torch.cat([place, kind[:, None].float()], 1), torch.sin(place) * (kind[:, None] - 1.0))


class Force(nn.Module):
    """The derivative of an energy of a place and a kind, in which the kind comes before the bend or after it."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.kind, self.head = right, nn.Embedding(3, 64), nn.Linear(64, 1)
        self.place = nn.Linear(2, 64)

    def forward(self, x: Tensor) -> Tensor:
        place, kind = x[:, :2].detach().requires_grad_(), self.kind(x[:, 2].long())
        with torch.enable_grad():
            h = self.place(place)
            energy = self.head(torch.tanh(h + kind) if self.right else torch.tanh(h) + kind)
            (slope,) = torch.autograd.grad(energy.sum(), place, create_graph=True)
        return -slope


def horizons() -> list[Any]:
    x = drawn(512, 6)
    return dealt(x, torch.stack((x[:, 0], -x[:, 1], x[:, 2] * x[:, 3]), 1))


class Heads(nn.Module):
    """A head for each horizon, called by functions that are made in a loop."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.body = right, nn.Sequential(nn.Linear(6, 32), nn.Tanh())
        self.heads = nn.ModuleList([nn.Linear(32, 1) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        reads = [lambda h, k=k: self.heads[k](h) for k in range(3)]
        if not self.right:
            reads = [lambda h: self.heads[k](h) for k in range(3)]
        return torch.cat([read(h) for read in reads], 1)


def sites() -> list[Any]:
    x, place = drawn(512, 4), torch.arange(512) // 64 % 2
    slopes = torch.tensor([[1.0, -1.0, 2.0, 0.0], [-2.0, 1.0, 0.0, 1.0]])[place]
    return dealt(torch.cat([x, place[:, None].float()], 1), (x * slopes).sum(1, keepdim=True))


class ByPlace(nn.Module):
    """A layer for each place, under a word, asked for by a word or by a number."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.common = right, nn.Linear(4, 1)
        self.own = nn.ModuleDict({str(k): nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1)) for k in (0, 1)})

    def forward(self, x: Tensor) -> Tensor:
        key: Any = int(x[0, 4])
        key, answer = str(key) if self.right else key, self.common(x[:, :4])
        return answer + self.own[key](x[:, :4]) if key in self.own else answer


def places() -> list[Any]:
    at = torch.arange(512) * 7 % 8
    words = torch.randint(0, 4, (512, 1, 8), generator=torch.Generator().manual_seed(8))
    words[torch.arange(512), 0, at] = 4
    return dealt(words, at // 2)


class Positions(nn.Module):
    """Where is the rare word? With positions that are counted along the axis of the words, or along one of length 1."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.axis, self.word, self.position = -1 if right else 1, nn.Embedding(5, 16), nn.Embedding(8, 16)
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU())
        self.head = nn.Linear(32, 4)

    def forward(self, words: Tensor) -> Tensor:
        h = self.word(words[:, 0]) + self.position(torch.arange(words.size(self.axis)))
        return self.head(self.body(h).mean(1))


INFORMED: dict[str, Case] = {
    "a kind behind the bend": ("moved-in", Force, forces, F.mse_loss, "the derivative does not depend on it"),
    "the last of a loop": ("own-calls", Heads, horizons, F.mse_loss, "none of them"),
    "a row for all places": ("every-row", Positions, places, F.cross_entropy, "one row is read"),
    "a number for a word": ("word-keys", ByPlace, sites, F.mse_loss, "none of them"),
}


@pytest.mark.parametrize("name", INFORMED)
def test_what_never_runs_or_is_constant_is_said_and_cured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remedy, kind, batches, loss, words = INFORMED[name]
    build = partial(kind, right=False)
    findings = photic.check(seeded(build), batches(), loss, adam).findings
    assert any(f.problem == "idle-layer" and words in f.reason for f in findings), findings
    treatment = cured(remedy, monkeypatch, build, batches(), loss, optimizer=adam, steps=200)
    treated, untreated = (next(t for t in treatment.trials if t.remedy == n) for n in (remedy, "untreated"))
    assert (treated.held_back_loss or 0.0) < 0.5 * (untreated.held_back_loss or 0.0)


@pytest.mark.parametrize("name", INFORMED)
def test_written_as_it_was_meant_it_is_left_alone(name: str) -> None:
    remedy, kind, batches, loss, _ = INFORMED[name]
    checkup = photic.check(seeded(partial(kind, right=True)), batches(), loss, adam)
    assert not {"idle-layer", "severed-gradient"} & {f.problem for f in checkup.findings}, checkup.findings
    assert isinstance(CATALOGUE[remedy].prescribe(Graph.of(checkup.run)), str)


class Tails(nn.Module):
    """A mean by trained shares over the beginning of a series, the rest of which is noise; the mask is kept or thrown away."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.value, self.score, self.head = right, nn.Linear(3, 16), nn.Linear(3, 1), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.score(x)[..., 0]
        rest = torch.arange(24) >= 2
        if self.right:
            scores = scores.masked_fill(rest, -torch.inf)
        else:
            scores.masked_fill(rest, -torch.inf)
        return self.head(torch.tanh((scores.softmax(1)[..., None] * self.value(x)).sum(1)))


def beginnings() -> list[Any]:
    x = drawn(512, 24, 3)
    x[:, 2:] *= 4.0
    return dealt(x, (x[:, :2].sum((1, 2)) > 0).long())


def test_a_mask_that_is_thrown_away_is_found_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    build = partial(Tails, right=False)
    findings = photic.check(seeded(build), beginnings(), F.cross_entropy, adam).findings
    assert any("masked_fill changes nothing in place" in f.reason for f in findings), findings
    cured("continued-blocks", monkeypatch, build, beginnings(), F.cross_entropy, optimizer=adam, steps=200)
    kept = photic.check(seeded(partial(Tails, right=True)), beginnings(), F.cross_entropy, adam)
    assert "idle-layer" not in [f.problem for f in kept.findings]


class Clipped(nn.Module):
    """Scores that are clipped by a tanh, and masked."""

    def __init__(self, clip: float) -> None:
        super().__init__()
        self.clip, self.body = clip, nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 8))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.clip * torch.tanh(self.body(x))
        return scores.masked_fill(torch.arange(8) > 5, -torch.inf)


def test_clipped_scores_under_a_mask_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    x = drawn(512, 6)
    batches = dealt(x, x.argmax(1))
    found = photic.check(seeded(partial(Clipped, 1.0)), batches, F.cross_entropy, adam).findings
    assert any(f.problem == "loss-saturation" and "cannot fall below" in f.reason for f in found), found
    cured("logits", monkeypatch, partial(Clipped, 1.0), batches, F.cross_entropy, optimizer=adam, steps=200)
    wide = photic.check(seeded(partial(Clipped, 10.0)), batches, F.cross_entropy, adam)
    assert "loss-saturation" not in [f.problem for f in wide.findings]


class Padded(nn.Module):
    """Causal convolutions in a loop, each given what the one before made, or the start: padded first, in any case."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.enter, self.head = right, nn.Linear(1, 16), nn.Linear(16, 1)
        self.layers = nn.ModuleList([nn.Conv1d(16, 16, 2, dilation=2**k) for k in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        start = self.enter(x[..., None]).mT
        h = start
        for layer in self.layers:
            h = torch.tanh(layer(F.pad(h if self.right else start, (layer.dilation[0], 0))))
        return self.head(h[..., -1])


def test_a_loop_over_padded_layers_goes_on_with_what_each_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    x = drawn(512, 8)
    batches = dealt(x, (x[:, -1:] - x[:, -3:-2] + x[:, -8:-7]) / 2.0)
    build = partial(Padded, right=False)
    treatment = cured("continued-blocks", monkeypatch, build, batches, F.mse_loss, optimizer=adam, steps=200)
    right = seeded(partial(Padded, right=True))
    right.load_state_dict((model := treatment.setup().model).state_dict())
    torch.testing.assert_close(model(x), right(x))
