"""Depth: gradients and signals that fade or grow from layer to layer, and starts that are too small or too large."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import Start, adam, begin, he, normal, sgd, stack, xavier


@case(
    "sigmoid-8-circles", label="vanishing-gradient", root="1", steps=300,
    fixes=("tanh-activation", "relu-activation", "batch normalisation after each layer"),
    source="AUTOTRAINER, demonstration of a vanishing gradient",
    why="Eight narrow sigmoid layers: each passes at most a quarter of the gradient.",
)  # fmt: skip
def sigmoid_circles(seed: int, activation: Callable[[], nn.Module] = nn.Sigmoid, start: Start = he) -> Setup:
    return adam(stack([2, *[8] * 8, 2], activation, start), samples.circles(seed), rate=3e-3)


@case(
    "sigmoid-11-blobs", label="vanishing-gradient", root="1", steps=300,
    fixes=("tanh-activation", "relu-activation", "batch normalisation after each layer"),
    source="AUTOTRAINER, model 2569b90f",
    why="Eleven narrow sigmoid layers on three clouds.",
)  # fmt: skip
def sigmoid_blobs(seed: int, activation: Callable[[], nn.Module] = nn.Sigmoid) -> Setup:
    return adam(stack([2, *[8] * 11, 3], activation, xavier), samples.blobs(seed), rate=3e-3)


@case(
    "sigmoid-10-digits", label="vanishing-gradient", root="1", steps=300,
    fixes=("centred-logistic", "tanh-activation", "relu-activation", "layer-normalisation"),
    source="glorot2010, section 3.1",
    why="Ten sigmoid layers with torch's first weights under gradient descent.",
)  # fmt: skip
def sigmoid_digits(seed: int, activation: Callable[[], nn.Module] = nn.Sigmoid, start: Start | None = None) -> Setup:
    return sgd(stack([64, *[64] * 10, 10], activation, start), samples.digits(seed))


def _deep(
    seed: int, depth: int, activation: Callable[[], nn.Module], start: Start | None = None, rate: float = 0.03
) -> Setup:
    return sgd(stack([64, *[64] * depth, 10], activation, start), samples.digits(seed), rate=rate)


@case(
    "tanh-default-20", label="vanishing-gradient", root="0", steps=300, fixes=("xavier", "layer-normalisation"),
    source="glorot2010, section 4.2",
    why="torch's first weights have a variance of 1/(3 fan_in), a third of what tanh needs, in twenty layers.",
)  # fmt: skip
def tanh_default(seed: int, start: Start | None = None) -> Setup:
    return _deep(seed, 20, nn.Tanh, start)


@case(
    "relu-default-20", label="vanishing-gradient", root="0", steps=300, fixes=("he", "layer-normalisation"),
    source="he2015, section 2.2",
    why="torch's first weights have a sixth of the variance that ReLU needs, in twenty layers.",
)  # fmt: skip
def relu_default(seed: int, start: Start | None = None) -> Setup:
    return _deep(seed, 20, nn.ReLU, start)


@case(
    "relu-xavier-30", label="vanishing-gradient", root="0", steps=300, fixes=("he", "layer-normalisation"),
    source="he2015, figure 3",
    why="Xavier's start has half the variance that ReLU needs; over thirty layers the gradient fades.",
)  # fmt: skip
def relu_xavier(seed: int, start: Start = xavier) -> Setup:
    return _deep(seed, 30, nn.ReLU, start, rate=0.02)


@case(
    "gelu-default-16", label="vanishing-gradient", root="0", steps=300, fixes=("he", "layer-normalisation"),
    source="hendrycks2016, with torch's first weights",
    why="GELU shrinks small signals to half, and torch's first weights do the rest.",
)  # fmt: skip
def gelu_default(seed: int, start: Start | None = None) -> Setup:
    return _deep(seed, 16, nn.GELU, start, rate=0.1)


@case(
    "sigmoid-convolutions", label="vanishing-gradient", root="1", steps=300,
    fixes=("relu-activation", "batch normalisation after each layer"),
    source="AUTOTRAINER, model 2af630c4",
    why="LeNet with sigmoids and five more sigmoid layers of 84 units.",
)  # fmt: skip
def sigmoid_convolutions(seed: int, activation: Callable[[], nn.Module] = nn.Sigmoid) -> Setup:
    layers: list[nn.Module] = [
        nn.Conv2d(1, 6, 3, padding=1), activation(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 3, padding=1), activation(), nn.MaxPool2d(2), nn.Flatten(),
    ]  # fmt: skip
    width = 64
    for after in (84,) * 6:
        layers += [nn.Linear(width, after), activation()]
        width = after
    return adam(begin(nn.Sequential(*layers, nn.Linear(width, 10)), he), samples.digit_images(seed))


@case(
    "relu-small-uniform-circles", label="weights-too-small", root="0", steps=300, fixes=("he", "batch normalisation"),
    source="AUTOTRAINER, model 8de47bdc",
    why="Weights from U(-0.05, 0.05) in eight ReLU layers: signal and gradient shrink about tenfold per layer.",
)  # fmt: skip
def small_uniform(seed: int, start: Start = partial(nn.init.uniform_, a=-0.05, b=0.05)) -> Setup:
    return adam(stack([2, *[16] * 8, 2], nn.ReLU, start), samples.circles(seed))


@case(
    "tanh-small-normal-digits", label="weights-too-small", root="0", steps=300, fixes=("xavier", "layer-normalisation"),
    source="Stack Overflow 39217567, with tanh and digits",
    why="Weights from N(0, 0.01^2), once usual, in six tanh layers of 64.",
)  # fmt: skip
def small_normal(seed: int, start: Start = partial(nn.init.normal_, std=0.01)) -> Setup:
    return sgd(stack([64, *[64] * 6, 10], nn.Tanh, start), samples.digits(seed))


@case(
    "relu-four-times-he", label="exploding-gradient", root="0", steps=300, fixes=("he", "layer-normalisation"),
    source="he2015, section 2.2",
    why="Four times He's variance: the signal doubles from layer to layer, fourteen times.",
)  # fmt: skip
def relu_large(seed: int, variance: float = 8.0) -> Setup:
    return _deep(seed, 14, nn.ReLU, normal(variance))


@case(
    "linear-too-large", label="exploding-gradient", root="0", steps=300, fixes=("xavier", "layer-normalisation"),
    source="saxe2014, section 3",
    why="Twelve linear layers with nine times the variance that keeps the signal's size.",
)  # fmt: skip
def linear_large(seed: int, variance: float = 9.0) -> Setup:
    return _deep(seed, 12, nn.Identity, normal(variance), rate=0.01)


@case(
    "elu-six-times-lecun", label="exploding-gradient", root="0", steps=300, fixes=("he", "xavier", "layer-normalisation"),
    source="poole2016, the chaotic phase",
    why="Six times LeCun's variance in sixteen ELU layers.",
)  # fmt: skip
def elu_large(seed: int, variance: float = 6.0) -> Setup:
    return _deep(seed, 16, nn.ELU, normal(variance), rate=0.03)


@case(
    "normal-one", label="weights-too-large", root="0", steps=300, fixes=("he",),
    source="TheDeepChecker, program IPS-4",
    why="Weights from N(0, 1) in three ReLU layers of 256: logits in the thousands.",
)  # fmt: skip
def normal_one(seed: int, start: Start = nn.init.normal_) -> Setup:
    return sgd(stack([64, 256, 256, 256, 10], nn.ReLU, start), samples.digits(seed), rate=0.03)


@case(
    "exponential-8-circles", label="non-finite", root="1", steps=300, fixes=("relu-activation", "tanh-activation"),
    source="AUTOTRAINER, model 0ae2cd88",
    why="Eight exponentials one after another overflow in the first forward pass; clipping cannot help.",
)  # fmt: skip
def exponential(seed: int, activation: Callable[[], nn.Module] | None = None) -> Setup:
    return adam(stack([2, *[16] * 8, 2], activation or Exponential, he), samples.circles(seed))


class Exponential(nn.Module):
    """e^x."""

    def forward(self, x: Tensor) -> Tensor:
        """Return e^x."""
        return torch.exp(x)


@case(
    "batch-norm-50", label="exploding-gradient", root="1", steps=200, fixes=("skips around the layers", "fewer layers"),
    source="yang2019, section 3",
    why="Fifty layers of BatchNorm and ReLU without skips: the gradient grows by about 1.2 per layer.",
)  # fmt: skip
def normalised(seed: int, depth: int = 50) -> Setup:
    blocks = [layer for _ in range(depth) for layer in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    return sgd(nn.Sequential(*blocks, nn.Linear(64, 10)), samples.digits(seed), rate=0.03)


@case(
    "constant-weights", label="rank-collapse", root="0", steps=300, fixes=("he", "xavier"),
    source="TheDeepChecker, fault constant initialisation",
    why="All weights are 0.01: the units of a layer are one unit, and stay so.",
)  # fmt: skip
def constant_weights(seed: int, start: Start = partial(nn.init.constant_, val=0.01)) -> Setup:
    return sgd(stack([64, 64, 64, 10], nn.ReLU, start), samples.digits(seed))


@case(
    "zero-weights", label="zero-times-zero", root="0", steps=300, fixes=("he", "xavier"),
    source="NeuraLint, sample of zero initialisation",
    why="All weights of a small LeNet are 0, so all signals are, so all gradients but the last bias's are.",
)  # fmt: skip
def zero_weights(seed: int, start: Start = nn.init.zeros_) -> Setup:
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten()]
    model = begin(nn.Sequential(*layers, nn.Linear(16, 10)), start)
    return adam(model, samples.digit_images(seed), rate=1e-2)


@case(
    "relu-he-80", label="rank-collapse", root="", steps=200, fixes=("skips around the layers", "fewer layers"),
    source="schoenholz2017, section 3; hanin2018",
    why="He's start keeps the signal's size over eighty layers, but inputs grow alike: the correlation tends to 1.",
)  # fmt: skip
def relu_deep(seed: int, depth: int = 80) -> Setup:
    return _deep(seed, depth, nn.ReLU, he, rate=0.01)
