"""States that are forgotten at once, pooled padding, weights that are written anew at each turn, and breaks behind another finding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
import photic.remedies.choosing as module
from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import loops
from photic.probes.audit import measure
from tests.remedies.test_structure import CATALOGUE, cured, healed
from tests.zoo import seeded


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-2)


def slow(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=3e-3)


class Integrators(nn.Module):
    """Units whose states decay with time constants of their own, in whatever unit a step lasts `step` of."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.drive, self.head, self.step = nn.Linear(6, 32), nn.Linear(32, 3), step
        self.logarithm = nn.Parameter(torch.linspace(-2.0, 0.0, 32))

    def forward(self, frames: Tensor) -> Tensor:
        keep = torch.exp(-self.step / self.logarithm.exp())
        h = frames.new_zeros(len(frames), 32)
        for frame in frames.unbind(1):
            h = keep * h + (1 - keep) * torch.relu(self.drive(frame))
        return self.head(F.layer_norm(h, (32,)))


def tones() -> list[Any]:
    """Which of three bands was loud in the first frames of 30."""
    draw = torch.Generator().manual_seed(3)
    batches: list[Any] = []
    for _ in range(10):
        x, y = 0.5 * torch.randn(64, 30, 6, generator=draw), torch.randint(0, 3, (64,), generator=draw)
        x[torch.arange(64)[:, None], torch.arange(4)[None], 2 * y[:, None]] += 3.0
        batches.append((x, y))
    return batches


def test_a_parameter_that_is_used_twice_at_each_turn_tells_the_loop() -> None:
    (loop,) = [
        one
        for one in loops(Graph.of(measure(Integrators(0.02), tones()[0], F.cross_entropy)))
        if one.parameter == "logarithm"
    ]
    assert len(loop.sites) == 30


def test_a_decay_in_another_unit_of_time_is_made_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cured(
        "slower-decay", monkeypatch, partial(Integrators, 20.0), tones(), F.cross_entropy, optimizer=slow, steps=200
    )
    assert found.record.after is not None and found.record.after.healthy
    for healthy in (0.02, 0.2):
        run = photic.check(seeded(partial(Integrators, healthy)), tones(), F.cross_entropy, slow).run
        assert isinstance(CATALOGUE["slower-decay"].prescribe(Graph.of(run)), str)


class Tickets(nn.Module):
    """The mean of the vectors of an example's words, or of its padding."""

    def __init__(self, *, of_words: bool) -> None:
        super().__init__()
        self.of_words = of_words
        self.embed, self.head = (
            nn.Embedding(60, 16, padding_idx=0),
            nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)),
        )

    def forward(self, words: Tensor) -> Tensor:
        mask = (words != 0) if self.of_words else (words == 0)
        weight = mask[..., None].to(torch.float32)
        return self.head((self.embed(words) * weight).sum(1) / weight.sum(1).clamp(min=1.0))


def tickets() -> list[Any]:
    draw = torch.Generator().manual_seed(4)
    batches: list[Any] = []
    for _ in range(10):
        y = torch.randint(0, 3, (64,), generator=draw)
        words = torch.randint(1, 20, (64, 12), generator=draw) + 20 * y[:, None] * (
            torch.rand(64, 12, generator=draw) < 0.4
        )
        words[torch.arange(12)[None] >= torch.randint(5, 13, (64, 1), generator=draw)] = 0
        batches.append((words, y))
    return batches


def test_a_mean_of_nothing_but_padding_is_found_and_turned_round(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cured(
        "turned-mask",
        monkeypatch,
        partial(Tickets, of_words=False),
        tickets(),
        F.cross_entropy,
        optimizer=adam,
        steps=100,
    )
    assert healed(found) and "embed" in found.record.before.findings[0].sites
    assert "idle-layer" not in [
        f.problem
        for f in photic.check(seeded(partial(Tickets, of_words=True)), tickets(), F.cross_entropy, adam).findings
    ]


class Normed(nn.Module):
    """A direction and a length for each unit, which a layer's weights are made of."""

    def __init__(self, sizes: tuple[int, int], *, written: bool) -> None:
        super().__init__()
        self.layer, self.written = nn.Linear(*sizes), written
        self.way = nn.Parameter(self.layer.weight.detach().clone())
        self.length = nn.Parameter(self.way.detach().norm(dim=1, keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        made = self.length * self.way / self.way.norm(dim=1, keepdim=True)
        if not self.written:
            return F.linear(x, made, self.layer.bias)
        self.layer.weight.data = made
        return self.layer(x)


def normed(*, written: bool) -> nn.Module:
    return nn.Sequential(Normed((8, 16), written=written), nn.Tanh(), Normed((16, 1), written=written))


def sums() -> list[Any]:
    x = torch.randn(640, 8, generator=torch.Generator().manual_seed(5))
    y = torch.tanh(x[:, :1] * 2.0 - x[:, 1:2]) + torch.tanh(x[:, 2:3] + x[:, 3:4])
    return [(x[k : k + 64], y[k : k + 64]) for k in range(0, 640, 64)]


@pytest.mark.parametrize("remedy", ["handed-weights", "kept-updates"])
def test_weights_that_are_made_anew_at_each_turn_are_handed_over_or_left_to_the_optimizer(
    remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cured(remedy, monkeypatch, partial(normed, written=True), sums(), F.mse_loss, optimizer=adam, steps=150)
    assert healed(found)
    run = photic.check(seeded(partial(normed, written=False)), sums(), F.mse_loss, adam).run
    assert isinstance(CATALOGUE[remedy].prescribe(Graph.of(run)), str)


class Demand(nn.Module):
    """Counts in the hundreds; a softplus by hand whose other branch overflows as soon as the outputs come near them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return torch.where(z > 20.0, z, torch.log1p(torch.exp(z)))


def demands() -> list[Any]:
    x = torch.rand(640, 6, generator=torch.Generator().manual_seed(6)) * 4.0
    y = 60.0 + 40.0 * x[:, :1] + 20.0 * x[:, 1:2]
    return [(x[k : k + 64], y[k : k + 64]) for k in range(0, 640, 64)]


def test_what_breaks_later_is_treated_where_what_was_found_at_first_is_not_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def quick(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=1.5e-2)

    plain = module.remedies_for
    few = ("lower-learning-rate", "guarded-argument")
    monkeypatch.setattr(module, "remedies_for", lambda found: tuple(r for r in plain(found) if r.name in few))
    monkeypatch.setattr(module, "remedies", lambda: tuple(CATALOGUE[name] for name in few))
    found = photic.treat(Demand, demands(), F.l1_loss, optimizer=quick, steps=200, workers=1, seeds=(0,))
    assert [f.problem for f in found.record.before.findings] == ["unscaled-target"]
    assert found.remedy == "guarded-argument", found.report()
    assert any("breaks off in step" in note for note in found.record.notes), found.report()


class Spectral(nn.Module):
    """A mix of channels, and the size of its spectrum, by NumPy or by torch."""

    def __init__(self, *, by_numpy: bool) -> None:
        super().__init__()
        self.mix, self.head, self.by_numpy = nn.Linear(4, 1), nn.Linear(9, 3), by_numpy

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(x)[..., 0]
        if self.by_numpy:
            return self.head(torch.from_numpy(np.abs(np.fft.rfft(mixed.detach().numpy()))).to(x.dtype))
        return self.head(torch.fft.rfft(mixed).abs())


@pytest.mark.parametrize("by_numpy", [True, False])
def test_a_spectrum_that_numpy_computes_severs_the_gradient(by_numpy: bool) -> None:
    draw = torch.Generator().manual_seed(7)
    batches = [(torch.randn(32, 16, 4, generator=draw), torch.randint(0, 3, (32,), generator=draw)) for _ in range(8)]
    checkup = photic.check(seeded(partial(Spectral, by_numpy=by_numpy)), batches, F.cross_entropy, adam)
    found = [f for f in checkup.findings if f.problem == "severed-gradient"]
    assert bool(found) == by_numpy
    if by_numpy:
        assert "left torch" in found[0].reason and "mix.weight" in found[0].reason and "torch.fft" in found[0].advice
        assert "write what is done outside in torch" in str(
            CATALOGUE["carried-gradient"].prescribe(Graph.of(checkup.run))
        )


def test_a_head_that_is_only_logged_leaves_no_torch() -> None:
    class Logged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.side, self.main, self.noise = nn.Linear(8, 3), nn.Linear(8, 1), nn.Linear(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.log = self.side(x).detach()
            return self.main(x) + 0.1 * self.noise(torch.randn(len(x), 5))

    checkup = photic.check(seeded(Logged), sums(), F.mse_loss, adam)
    assert "severed-gradient" not in [f.problem for f in checkup.findings]


class Levels(nn.Module):
    """Grey values between 0 and 1 as one of eight levels, each with a vector of its own."""

    def __init__(self, *, first: bool) -> None:
        super().__init__()
        self.table, self.head, self.first = nn.Embedding(8, 6), nn.Linear(16 * 6, 4), first

    def forward(self, x: Tensor) -> Tensor:
        level = x.long() * 7 if self.first else (x * 7).long()
        return self.head(self.table(level).flatten(1))


def test_what_is_multiplied_after_it_was_rounded_is_multiplied_first(monkeypatch: pytest.MonkeyPatch) -> None:
    x = 0.99 * torch.rand(640, 16, generator=torch.Generator().manual_seed(8))
    batches = [(x[k : k + 64], x[k : k + 64, :4].argmax(1)) for k in range(0, 640, 64)]
    found = cured(
        "rounded-last", monkeypatch, partial(Levels, first=True), batches, F.cross_entropy, optimizer=adam, steps=150
    )
    assert healed(found) and "(x * 7).long()" in found.patch, found.paste
    run = photic.check(seeded(partial(Levels, first=False)), batches, F.cross_entropy, adam).run
    assert isinstance(CATALOGUE["rounded-last"].prescribe(Graph.of(run)), str)
