"""Derivatives in the forward, hooks on gradients, cosines without a scale, links the wrong way, activations and sums that overflow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import photic
from photic.diagnosis.graph import Graph
from photic.remedies.carry_out import carry_out
from tests.remedies.test_lost_on_the_way import adam, columns, dealt, drawn
from tests.remedies.test_structure import CATALOGUE, cured, healed
from tests.zoo import seeded


class Equation(nn.Module):
    """A residual: the second derivative, or the first, with a history or without one, and the function; and values at two ends."""

    def __init__(self, bend: nn.Module, *, order: int = 2, history: bool = True) -> None:
        super().__init__()
        self.order, self.history = order, history
        self.net = nn.Sequential(nn.Linear(1, 32), bend, nn.Linear(32, 32), bend, nn.Linear(32, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            slope = self.net(x)
            for _ in range(self.order):
                (slope,) = torch.autograd.grad(slope.sum(), x, create_graph=self.history, retain_graph=True)
        return slope + self.net(x) if self.order == 1 else slope, self.net(torch.tensor([[-1.0], [1.0]]))


def at_points(asked: Callable[[Tensor], Tensor]) -> list[Any]:
    return [(x, asked(x)) for x in (2.0 * drawn(8, 64, 1).sigmoid() - 1.0)]


def linear(x: Tensor) -> Tensor:
    """Of which u = x is the solution, u' + u = 1 + x."""
    return 1.0 + x


def curved(x: Tensor) -> Tensor:
    """Of which u = x + 2 (1 - x^2) is the solution, u'' = -4."""
    return torch.full_like(x, -4.0)


def residual(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    inside, ends = output
    return (inside - y).pow(2).mean() + (ends - torch.tensor([[-1.0], [1.0]])).pow(2).mean()


def test_the_second_derivative_of_straight_pieces_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    build = partial(Equation, nn.ReLU())
    found = photic.check(seeded(build), at_points(curved), residual, adam).findings[0]
    assert found.problem == "severed-gradient" and "0 everywhere" in found.reason, found
    assert healed(cured("smooth-slope", monkeypatch, build, at_points(curved), residual, optimizer=adam, steps=200))
    bends = photic.check(seeded(partial(Equation, nn.Tanh())), at_points(curved), residual, adam)
    assert "severed-gradient" not in [f.problem for f in bends.findings]


def test_a_derivative_without_history_is_said_and_its_history_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    build = partial(Equation, nn.Tanh(), order=1, history=False)
    found = photic.check(seeded(build), at_points(linear), residual, adam).findings
    assert any(f.problem == "severed-gradient" and "create_graph" in f.reason for f in found), found
    treatment = cured("recorded-slope", monkeypatch, build, at_points(linear), residual, optimizer=adam, steps=200)
    assert "create_graph" in (treatment.patch or treatment.paste)
    kept = photic.check(seeded(partial(Equation, nn.Tanh(), order=1)), at_points(linear), residual, adam)
    assert "severed-gradient" not in [f.problem for f in kept.findings]


class Held(nn.Module):
    """Three layers with hooks on the gradient: the factors of a loop, each its own or all the last one."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, 16), nn.Linear(16, 16), nn.Linear(16, 2)])
        for layer, factor in zip(self.layers, (1.0, 0.5, 1.0 if right else 0.0), strict=True):
            for p in layer.parameters():
                p.register_hook((lambda g, f=factor: g * f) if right else (lambda g: g * 0.0))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)


def test_hooks_that_make_nothing_of_every_gradient_are_found_and_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    build = partial(Held, right=False)
    found = photic.check(seeded(build), columns(1.0), F.cross_entropy, adam).findings[0]
    assert found.problem == "idle-layer" and "hooks that make exactly 0" in found.reason, found
    assert healed(cured("unhooked", monkeypatch, build, columns(1.0), F.cross_entropy, optimizer=adam, steps=200))
    checkup = photic.check(seeded(partial(Held, right=True)), columns(1.0), F.cross_entropy, adam)
    assert "idle-layer" not in [f.problem for f in checkup.findings]


def test_one_layer_that_a_hook_holds_is_information() -> None:
    model = Held(right=True)
    model.layers[0].weight.register_hook(torch.zeros_like)
    found = photic.check(model, columns(1.0), F.cross_entropy, adam).findings
    assert [f.severity for f in found if f.problem == "idle-layer"] == ["info"]


class Cosines(nn.Module):
    """Cosines of codes and prototypes, with a scale or without one."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.body = scale, nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 16))
        self.prototypes = nn.Parameter(drawn(4, 16))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.normalize(self.body(x), dim=-1), F.normalize(self.prototypes, dim=-1)) * self.scale


def quarters() -> list[Any]:
    x = drawn(512, 6)
    return dealt(x, (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long())


def test_cosines_of_prototypes_bound_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    found = photic.check(seeded(partial(Cosines, 0.5)), quarters(), F.cross_entropy, adam).findings
    assert any(f.problem == "loss-saturation" and "cannot fall below" in f.reason for f in found), found
    cured("sharper-scores", monkeypatch, partial(Cosines, 0.5), quarters(), F.cross_entropy, optimizer=adam, steps=200)
    scaled = photic.check(seeded(partial(Cosines, 16.0)), quarters(), F.cross_entropy, adam)
    assert "loss-saturation" not in [f.problem for f in scaled.findings]


class Followed(nn.Module):
    """Sources are heard along the links, or those that are linked to are."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.right, self.own, self.heard, self.head = right, nn.Linear(3, 32), nn.Linear(3, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        links, h = x[..., :6], x[..., 6:]
        message = (links.mT if self.right else links) @ self.heard(h)
        return self.head(torch.relu(self.own(h) + message))


def linked() -> list[Any]:
    links = (torch.rand(512, 6, 6, generator=torch.Generator().manual_seed(10)) < 0.3).float()
    h = drawn(512, 6, 3)
    return dealt(torch.cat([links, h], 2), (links.mT @ h[..., :1]).tanh())


def test_links_that_are_followed_the_wrong_way_are_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    run = photic.check(seeded(partial(Followed, right=False)), linked(), F.mse_loss, adam).run
    given = CATALOGUE["turned-links"].prescribe(Graph.of(run))
    assert not isinstance(given, str)
    arms = {right: carried_out(given, right=right) for right in (False, True)}
    x = linked()[0][0]
    torch.testing.assert_close(arms[False](x), seeded(partial(Followed, right=True))(x))


def carried_out(given: Any, *, right: bool) -> nn.Module:
    model = seeded(partial(Followed, right=right))
    carry_out(given, model, seed=0)
    return model


@pytest.mark.parametrize("bend", [torch.sinh, lambda x: x.pow(3)])
def test_growing_activations_overflow_and_relu_takes_their_place(bend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(6, 32), *(nn.Linear(32, 32) for _ in range(9))])
            self.head = nn.Linear(32, 4)
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=1.5 / layer.in_features**0.5)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = bend(layer(x))
            return self.head(x)

    def sgd(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.05)

    treatment = cured("linear-growth", monkeypatch, Deep, quarters(), F.cross_entropy, optimizer=sgd, steps=200)
    assert healed(treatment)


class Hops(nn.Module):
    """Sums over the neighbours and oneself, hop after hop."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(10, 4)

    def forward(self, g: Tensor) -> Tensor:
        start, links = self.body(g[:, :10]), g[:, 10:] + torch.eye(len(g))
        h = start
        for _ in range(12):
            h = 0.85 * (links @ h) + 0.15 * start
        return h


def test_hops_over_links_with_oneself_among_them_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    y = torch.arange(40) % 4
    batches: list[Any] = []
    for k in range(8):
        draw = torch.Generator().manual_seed(20 + k)
        links = (torch.rand(40, 40, generator=draw) < torch.where(y[:, None] == y, 0.5, 0.02)).float()
        h = F.one_hot(y, 10) + 0.8 * torch.randn(40, 10, generator=draw)
        batches.append((torch.cat([h, ((links + links.T) > 0).float()], 1), y))
    assert healed(cured("averaged-hops", monkeypatch, Hops, batches, F.cross_entropy, optimizer=adam, steps=200))
