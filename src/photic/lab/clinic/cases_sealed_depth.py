"""Sealed, fifth part: depth, starts, activations. Written without the rules. All are held out."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.cases_sealed_cuts import evened_digits
from photic.lab.clinic.networks import Start, adam, begin, he, normal, sgd, stack, xavier

Activation = Callable[[], nn.Module]


@case(
    "stacked-sigmoid-autoencoder", label="vanishing-gradient", root="", steps=300, fixes=("tanh-activation", "relu-activation"),
    source="hinton2006, deep autoencoders without pretraining; martens2010",
    why="An autoencoder of eight sigmoid layers gives the mean image for every input: its encoder gets next to no gradient.",
)  # fmt: skip
def stacked(seed: int, activation: Activation = nn.Sigmoid) -> Setup:
    x = evened_digits()
    model = stack([64, 48, 32, 24, 8, 24, 32, 48, 64], activation, xavier)
    return adam(model, samples.stream(x, x, seed), F.mse_loss, rate=3e-3)


cured("stacked-sigmoid-autoencoder", why="Tanh.")(partial(stacked, activation=nn.Tanh))


class Summed(nn.Module):
    """Residual blocks with an activation behind each sum."""

    def __init__(self, after: Callable[[Tensor], Tensor], depth: int) -> None:
        super().__init__()
        self.stem, self.head, self.after = nn.Linear(64, 32), nn.Linear(32, 10), after
        self.branches = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        x = self.stem(x)
        for branch in self.branches:
            x = self.after(x + branch(x))
        return self.head(x)


@case(
    "sigmoid-behind-the-sum", label="vanishing-gradient", root="", steps=300, fixes=("relu-activation", "nothing behind the sum"),
    source="he2016identity, section 4.1",
    why="A sigmoid behind each residual sum: the skip is there, and the way back passes twelve slopes of at most a quarter.",
)  # fmt: skip
def behind(seed: int, after: Callable[[Tensor], Tensor] = torch.sigmoid) -> Setup:
    return sgd(Summed(after, 12), samples.digits(seed), rate=0.05)


cured("sigmoid-behind-the-sum", why="A ReLU.")(partial(behind, after=torch.relu))


class Softsign(torch.autograd.Function):
    """x / (1 + |x|), with its derivative written by hand."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, power: int) -> Tensor:
        """Return the activation."""
        ctx.save_for_backward(x)
        ctx.power = power  # pyright: ignore  # torch does not declare it
        return x / (1 + x.abs())

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient times (1 + |x|)^power, which is right for -2."""
        (x,) = ctx.saved_tensors  # pyright: ignore
        return grad[0] * (1 + x.abs()) ** ctx.power, None  # pyright: ignore


class Handmade(nn.Module):
    """The activation above as a module."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation."""
        return Softsign.apply(x, self.power)  # pyright: ignore


@case(
    "derivative-upside-down", label="exploding-gradient", root="", steps=200, fixes=("the right derivative", "torch's activation"),
    source="discuss.pytorch.org, custom autograd function without gradcheck",
    why="The derivative of a hand-written activation is upside down, (1 + |x|)^2: it multiplies the gradient, layer by layer.",
)  # fmt: skip
def upside_down(seed: int, power: int = 2) -> Setup:
    model = stack([64, *[64] * 14, 10], partial(Handmade, power), normal(2.5))
    return sgd(model, samples.digits(seed), rate=0.05)


cured("derivative-upside-down", why="The right one.")(partial(upside_down, power=-2))


def _actions(seed: int) -> Batches:
    draw = samples.generator(57)
    x = torch.randn(960, 4, generator=draw)
    best = 0.8 * torch.tanh(x[:, :1] - 0.7 * x[:, 1:2] * x[:, 2:3])
    return samples.stream(x, best, seed, size=32)


@case(
    "actor-at-its-limits", label="saturated-activation", root="5", steps=300, fixes=("smaller first weights",),
    source="lillicrap2016, section 7; Stack Overflow, DDPG actions stuck at -1 and 1",
    why="The last layer of an actor starts with N(0, 100) before a tanh: all actions are -1 or 1, where tanh is flat.",
)  # fmt: skip
def actor(seed: int, deviation: float = 100.0) -> Setup:
    model = nn.Sequential(*stack([4, 64, 64, 1], nn.ReLU, he), nn.Tanh())
    nn.init.normal_(model[4].weight, std=deviation)  # pyright: ignore[reportArgumentType]
    return adam(model, _actions(seed), F.mse_loss, rate=1e-3)


cured("actor-at-its-limits", why="A deviation of 0.003.")(partial(actor, deviation=0.003))


class Bells(nn.Module):
    """Gaussian bells around centres, and a linear reader."""

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        self.centres, self.head, self.sharpness = nn.Parameter(torch.randn(64, 64)), nn.Linear(64, 10), sharpness

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10]."""
        return self.head(torch.exp(-self.sharpness * torch.cdist(x, self.centres).square()))


@case(
    "bells-too-narrow", label="dead-units", root="/exp#1", steps=300, fixes=("wider bells", "centres on the data"),
    source="Stack Overflow, RBF network predicts a constant; moody1989",
    why="Bells of width 1 in 64 dimensions: the nearest centre is ten widths away, and each unit is 0 for every image.",
)  # fmt: skip
def bells(seed: int, sharpness: float = 1.0) -> Setup:
    return adam(Bells(sharpness), samples.digits(seed), rate=3e-2)


cured("bells-too-narrow", why="A hundredth of the sharpness.")(partial(bells, sharpness=0.01))


def _positive(weight: Tensor) -> Tensor:
    return nn.init.uniform_(weight, 0.0, 0.3)


def _either(weight: Tensor) -> Tensor:
    return nn.init.uniform_(weight, -0.3, 0.3)


@case(
    "rand-for-randn-on-decibels", label="dead-units", root="1", steps=300, fixes=("he", "leaky ReLU"),
    source="Stack Overflow, torch.rand instead of torch.randn for weights",
    why="Inputs from -1 to 0, as decibels are, meet weights from torch.rand, all above 0: each ReLU is 0 for every input.",
)  # fmt: skip
def decibels(seed: int, start: Start = _positive) -> Setup:
    kept = [(x - 1.0, y) for x, y in samples.digit_pixels(seed)()]
    return adam(begin(stack([64, 64, 10]), start), lambda: iter(kept), rate=1e-3)


cured("rand-for-randn-on-decibels", why="Weights of either sign.")(partial(decibels, start=_either))


def _separable(mode: Literal["fan_in", "fan_out"], depth: int = 7) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(1, 32, 2, stride=2), nn.ReLU()]
    for _ in range(depth):
        deep, point = nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Conv2d(32, 32, 1)
        layers += [deep, nn.ReLU(), point, nn.ReLU()]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


@case(
    "fan-out-of-depthwise", label="weights-too-small", root="", steps=200, fixes=("he",),
    source="rwightman/pytorch-image-models, fan_out divided by groups; pytorch/vision, MobileNetV2's start",
    why="kaiming_normal_ with fan_out knows no groups: depthwise weights are a sixth of what they should be. (Signal and gradient vanish.)",
)  # fmt: skip
def depthwise(seed: int, mode: Literal["fan_in", "fan_out"] = "fan_out") -> Setup:
    return sgd(_separable(mode), samples.digit_images(seed), rate=0.05)


cured("fan-out-of-depthwise", why="fan_in, nine.")(partial(depthwise, mode="fan_in"))


class Residual(nn.Module):
    """Convolutional residual blocks, with a norm in each branch or none."""

    def __init__(self, norm: Callable[[int], nn.Module], depth: int, width: int = 8) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, width, 2, stride=2), nn.Linear(16 * width, 10)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), norm(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1),
                norm(width),
            )
            for _ in range(depth)
        )  # fmt: skip
        for block in self.blocks:
            assert isinstance(block, nn.Sequential)
            begin(block, he)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, 10] of images [batch, 1, 8, 8]."""
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.flatten(1))


def _no_norm(_: int) -> nn.Module:
    return nn.Identity()


@case(
    "norms-taken-out-for-small-batches", label="missing-normalisation", root="", steps=150,
    fixes=("normalise each branch", "zero-initialised branches"),
    source="zhang2019, section 2; discuss.pytorch.org, ResNet without BatchNorm for a batch of one",
    why="The norms of a ResNet were taken out and nothing put in their place: its stream more than doubles at each of 18 blocks.",
)  # fmt: skip
def without_norms(seed: int, norm: Callable[[int], nn.Module] = _no_norm) -> Setup:
    return sgd(Residual(norm, 18), samples.digit_images(seed), rate=0.02)


cured("norms-taken-out-for-small-batches", why="BatchNorm in the branches.")(
    partial(without_norms, norm=nn.BatchNorm2d)
)


class Sine(nn.Module):
    """sin(30 x), as an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sine."""
        return torch.sin(30.0 * x)


def _siren(weight: Tensor) -> Tensor:
    fan = weight.shape[1]
    return nn.init.uniform_(weight, -math.sqrt(6 / fan) / 30, math.sqrt(6 / fan) / 30)


def _usual(weight: Tensor) -> Tensor:
    return nn.init.uniform_(weight, -math.sqrt(1 / weight.shape[1]), math.sqrt(1 / weight.shape[1]))


@case(
    "sines-with-the-usual-start", label="shattered-gradient", root="", steps=300, fixes=("the start of sine networks",),
    source="sitzmann2020, section 3.2; vsitzmann/siren, questions on initialisation",
    why="Sines of 30 x with torch's usual weights: each layer turns the input round many times, and neighbours part. (It explodes, too.)",
)  # fmt: skip
def sines(seed: int, start: Start = _usual) -> Setup:
    model = stack([64, *[64] * 5, 10], Sine, start)
    return adam(model, samples.digits(seed), rate=3e-4)


cured("sines-with-the-usual-start", why="The start of the paper, a thirtieth.")(partial(sines, start=_siren))
