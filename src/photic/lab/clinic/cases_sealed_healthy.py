"""Sealed, last part: healthy networks that look as if they were not. Written without the rules. All are held out."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.cases_sealed_cuts import corridor
from photic.lab.clinic.cases_sealed_numbers import Mixed
from photic.lab.clinic.cases_sealed_optimizers import Bag, topics
from photic.lab.clinic.networks import adam, he, sgd, stack


@case(
    "features-frozen-on-purpose",
    steps=300,
    source="rahimi2007",
    why="A wide random layer is frozen, and a head reads it: most weights rest, as they should.",
)
def features(seed: int) -> Setup:
    wide = nn.Linear(64, 512).requires_grad_(False)
    return adam(nn.Sequential(wide, nn.ReLU(), nn.Linear(512, 10)), samples.digits(seed), rate=3e-3)


class Adapted(nn.Module):
    """A frozen layer with an update of low rank whose second factor starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.head = nn.Linear(64, 64).requires_grad_(False), nn.Linear(64, 10)
        self.down, self.up = nn.Linear(64, 8, bias=False), nn.Linear(8, 64, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(torch.relu(self.base(x) + self.up(self.down(x))))


@case(
    "one-factor-at-zero",
    steps=300,
    source="hu2022lora, section 4.1",
    why="One factor of the update starts at 0, so that the other has no gradient in the first step, and in that alone.",
)
def one_factor(seed: int) -> Setup:
    return adam(Adapted(), samples.digits(seed), rate=3e-3)


@case(
    "target-network-at-rest",
    steps=300,
    source="mnih2015",
    why="The goal comes from a second network that rests, under no_grad, outside the model: this is how it is done.",
)
def at_rest(seed: int) -> Setup:
    model, target = stack([8, 32, 2]), stack([8, 32, 2])

    def difference(output: Tensor, wanted: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        action, reward, after = wanted
        with torch.no_grad():
            goal = reward + 0.5 * target(after).amax(-1)
        return F.smooth_l1_loss(output.gather(1, action[:, None])[:, 0], goal)

    return adam(model, corridor(seed), difference, rate=1e-2)


class Reversed(torch.autograd.Function):
    """The identity, which turns the gradient round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return x."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        """Return minus a tenth of the gradient."""
        return -0.1 * grad[0]


class Domains(nn.Module):
    """Features, their class, and the domain they must not show."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.classes, self.domain = stack([64, 64, 32]), stack([32, 10]), stack([32, 16, 2])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of class [batch, 10] and domain [batch, 2]."""
        code = torch.relu(self.features(x))
        return self.classes(code), self.domain(Reversed.apply(code))  # pyright: ignore


def _both(output: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(output[0], targets[0]) + F.cross_entropy(output[1], targets[1])


@case(
    "gradient-turned-round",
    steps=300,
    source="ganin2015, section 3",
    why="A layer that reverses the gradient: one head is worked against on purpose, and its loss need not fall.",
)
def turned_round(seed: int) -> Setup:
    x, y = samples.digit_table()
    where = torch.arange(len(x)) % 2
    return adam(Domains(), samples.stream(x + 0.5 * where[:, None], (y, where), seed), _both, rate=3e-3)


class Opening(nn.Module):
    """Sixteen residual branches whose gates start at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 64), nn.Linear(64, 10)
        self.branches = nn.ModuleList(stack([64, 64, 64], nn.ReLU, he) for _ in range(16))
        self.gates = nn.Parameter(torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        x = self.stem(x)
        for gate, branch in zip(self.gates, self.branches, strict=True):
            x = x + gate * branch(x)
        return self.head(x)


@case(
    "gates-that-open",
    steps=200,
    source="bachlechner2021, section 3",
    why="All branches start behind gates of 0: they have no gradient in the first step, and open soon.",
)
def opening(seed: int) -> Setup:
    return adam(Opening(), samples.digits(seed), rate=1e-3)


@case(
    "one-in-twelve-but-clear",
    steps=300,
    source="generated, after he2009imbalanced",
    why="One in twelve is of the second class; for a while the network says the first of all, and then learns.",
)
def unequal(seed: int) -> Setup:
    draw = samples.generator(101)
    y = (torch.rand(1920, generator=draw) < 1 / 12).long()
    x = torch.randn(1920, 8, generator=draw)
    x[:, 0] += 3.0 * y
    x[:, 1] -= 3.0 * y
    return adam(stack([8, 16, 2]), samples.stream(x, y, seed), rate=3e-3)


class Flow(nn.Module):
    """Six affine couplings of points in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(stack([1, 32, 2], nn.Tanh) for _ in range(6))

    def forward(self, x: Tensor) -> Tensor:
        """Return log densities [batch]."""
        a, b = x.chunk(2, -1)
        volume = x.new_zeros(len(x))
        for part in self.parts:
            scale, shift = part(a).chunk(2, -1)
            scale = 2.0 * torch.tanh(scale)
            b = b * scale.exp() + shift
            volume = volume + scale[:, 0]
            a, b = b, a
        return -0.5 * (a.square() + b.square())[:, 0] - math.log(2 * math.pi) + volume


def _unlikely(output: Tensor, _: Any) -> Tensor:
    return -output.mean()


@case(
    "flow-below-zero",
    steps=300,
    source="dinh2017",
    why="The loss is minus a log density, and falls far below 0 on narrow data: that is no divergence.",
)
def flow(seed: int) -> Setup:
    draw = samples.generator(103)
    u = torch.randn(1280, 1, generator=draw) * 0.3
    x = torch.cat([u, u.square() + 0.02 * torch.randn(1280, 1, generator=draw)], 1)
    return adam(Flow(), samples.stream(x, torch.zeros(1280), seed), _unlikely, rate=3e-3)


@case(
    "bfloat16-under-autocast",
    steps=300,
    source="kalamkar2019",
    why="Products in bfloat16, weights in float32: the gradients are coarse, and good enough.",
)
def brain_float(seed: int) -> Setup:
    return adam(Mixed(stack([64, 64, 64, 10], nn.ReLU, he), torch.bfloat16), samples.digits(seed))


@case(
    "half-dropped-out",
    steps=300,
    source="srivastava2014",
    why="Half of all units are dropped at each step: the loss is noisy and stays well above that of the whole network.",
)
def dropped(seed: int) -> Setup:
    layers: list[nn.Module] = []
    for before, after in ((64, 128), (128, 128)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.5)]
    return adam(nn.Sequential(*layers, nn.Linear(128, 10)), samples.digits(seed), rate=3e-3)


class OneCycle(torch.optim.Adam):
    """Adam whose rate rises over 60 steps and falls to 0 at step 300."""

    def step(self, closure: Any = None) -> Any:
        """Set the rate, then step."""
        for group in self.param_groups:
            group["calls"] = calls = group.get("calls", 0) + 1
            group["peak"] = group.get("peak", group["lr"])
            share = calls / 60 if calls < 60 else 0.5 + 0.5 * math.cos(math.pi * min(1.0, (calls - 60) / 240))
            group["lr"] = group["peak"] * share
        return super().step(closure)


@case(
    "rate-that-rises-first",
    steps=300,
    source="smith2018",
    why="The rate starts at a sixtieth of its peak: little happens in the first steps, which is meant.",
)
def one_cycle(seed: int) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU, he)
    return Setup(model, samples.digits(seed), F.cross_entropy, OneCycle(model.parameters(), lr=5e-3))


@case(
    "words-seldom-seen",
    steps=300,
    source="generated",
    why="Most of 400 words are in no given batch, and their vectors have a gradient of exactly 0 there.",
)
def seldom(seed: int) -> Setup:
    return adam(Bag(), topics(seed), rate=1e-2)


class Chosen(nn.Module):
    """Eight small experts of which each image asks two."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(64, 8)
        self.experts = nn.ModuleList(stack([64, 16, 10]) for _ in range(8))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        scores = self.router(x)
        best, which = scores.topk(2, -1)
        share = torch.zeros_like(scores).scatter(1, which, best.softmax(-1))
        return (share[:, :, None] * torch.stack([expert(x) for expert in self.experts], 1)).sum(1)


@case(
    "two-experts-of-eight",
    steps=300,
    source="shazeer2017",
    why="Each image asks two of eight experts, by topk: the others get a gradient of 0 from it, and others ask them.",
)
def two_of_eight(seed: int) -> Setup:
    return adam(Chosen(), samples.digits(seed), rate=3e-3)


class Signs(nn.Module):
    """A code of 24 signs, passed straight through on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.classifier = stack([64, 64, 24]), stack([24, 64, 10])

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        code = torch.tanh(self.encoder(x))
        return self.classifier(code + (code.sign() - code).detach())


@case(
    "signs-straight-through",
    steps=300,
    source="bengio2013",
    why="A sign and a detach in the middle, and the gradient goes straight through: both are meant.",
)
def straight_through(seed: int) -> Setup:
    return adam(Signs(), samples.digits(seed), rate=3e-3)


class Spring(nn.Module):
    """u(t) = 1 + t^2 n(t), with its second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = stack([1, 32, 32, 1], nn.Tanh)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return u and its second derivative at times [batch, 1]."""
        with torch.enable_grad():
            t = t.detach().requires_grad_()
            u = 1 + t.square() * self.layers(t)
            (first,) = torch.autograd.grad(u.sum(), t, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), t, create_graph=True)
        return u, second


def _equation(output: tuple[Tensor, Tensor], _: Any) -> Tensor:
    return (output[1] + 4 * output[0]).square().mean()


@case(
    "spring-by-its-equation",
    steps=300,
    source="raissi2019",
    why="The loss is an equation of motion, with second derivatives; no data, and the gradient passes the network three times.",
)
def spring(seed: int) -> Setup:
    t = 2 * torch.rand(640, 1, generator=samples.generator(107))
    return adam(Spring(), samples.stream(t, torch.zeros(640, 1), seed), _equation, rate=3e-3)


class Spare(nn.Module):
    """A network with a head that this phase of training does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.spare = stack([64, 64, 32]), nn.Linear(32, 10), stack([32, 32, 64])

    def forward(self, x: Tensor, *, later: bool = False) -> Tensor:
        """Return logits [batch, 10], or images again [batch, 64]."""
        code = torch.relu(self.body(x))
        return self.spare(code) if later else self.head(code)


@case(
    "head-for-a-later-phase",
    steps=300,
    source="generated, after pretraining with heads that come later",
    why="A second head is there and not yet used: it has no gradient, on purpose.",
)
def later_phase(seed: int) -> Setup:
    return adam(Spare(), samples.digits(seed), rate=3e-3)


def _sum(output: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(output, targets, reduction="sum")


@case(
    "summed-with-a-rate-to-match",
    steps=300,
    source="generated",
    why="The loss is summed over 64 examples, and starts at 150; the rate is a sixty-fourth of the usual.",
)
def summed(seed: int) -> Setup:
    return sgd(stack([64, 64, 64, 10], nn.ReLU, he), samples.digits(seed), _sum, rate=0.1 / 64)
