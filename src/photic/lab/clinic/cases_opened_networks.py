"""Written after the rules, held out until they had been looked at: activations, starts, depth, data, loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import LossFunction, Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case, cured
from photic.lab.clinic.networks import Start, adam, begin, he, normal, sgd, stack, xavier

Activation = Callable[[], nn.Module]


@case(
    "sigmoid-13-circles", label="vanishing-gradient", root="", steps=300, fixes=("tanh and Xavier", "relu and He"),
    source="AUTOTRAINER, model dd8c879b",
    why="Thirteen sigmoid layers of five units.",
)  # fmt: skip
def sigmoids(seed: int, activation: Activation = nn.Sigmoid, start: Start = xavier, width: int = 5) -> Setup:
    return adam(stack([2, *[width] * 13, 2], activation, start), samples.circles(seed), rate=1e-2)


cured("sigmoid-13-circles", why="Tanh, of 16 units.")(partial(sigmoids, activation=nn.Tanh, width=16))


def _images(activation: Activation, start: Start | None, dense: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, padding=1), activation(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(16, 32, 3, padding=1), activation(), nn.MaxPool2d(2), nn.Flatten()]
    for index in range(dense):
        layers += [nn.Linear(width if index else 128, width), activation()]
    model = nn.Sequential(*layers, nn.Linear(width if dense else 128, 10))
    return model if start is None else begin(model, start)


def _small(weight: Tensor) -> Tensor:
    return nn.init.uniform_(weight, -0.05, 0.05)


@case(
    "lenet-small-uniform", label="weights-too-small", root="", steps=200, fixes=("he",),
    source="AUTOTRAINER, model tmp_lenet5",
    why="Two convolutions and eight layers of 64 with weights from -0.05 to 0.05, a sixth of He's size.",
)  # fmt: skip
def lenet(seed: int, start: Start = _small) -> Setup:
    return sgd(_images(nn.ReLU, start, 8, 64), samples.digit_images(seed), rate=0.03)


cured("lenet-small-uniform", why="He's start.")(partial(lenet, start=he))


@case(
    "lenet-of-sigmoids", label="vanishing-gradient", root="", steps=200, fixes=("relu and He",),
    source="AUTOTRAINER, model 1d575a45",
    why="Two convolutions and seven dense layers, all with sigmoids.",
)  # fmt: skip
def sigmoid_lenet(seed: int, activation: Activation = nn.Sigmoid, start: Start | None = None) -> Setup:
    return sgd(_images(activation, start, 7, 84), samples.digit_images(seed), rate=0.03)


cured("lenet-of-sigmoids", why="ReLU and He's start.")(partial(sigmoid_lenet, activation=nn.ReLU, start=he))


class Exponential(nn.Module):
    """exp, as an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return exp(x)."""
        return torch.exp(x)


@case(
    "exponential-images", label="non-finite", root="", steps=200, fixes=("relu",),
    source="AUTOTRAINER, model 4bc5fb07",
    why="Two convolutions and four dense layers with exp as activation: the forward pass overflows.",
)  # fmt: skip
def exponential(seed: int, activation: Activation = Exponential) -> Setup:
    return adam(_images(activation, he, 4, 84), samples.digit_images(seed))


cured("exponential-images", why="ReLU.")(partial(exponential, activation=nn.ReLU))


@case(
    "column-times-ten-thousand", label="unscaled-input", root="", steps=300, fixes=("standardise the columns",),
    source="lecun1998, section 4.3; Stack Overflow 47724077",
    why="One of thirty columns is in other units, ten thousand times as large.",
)  # fmt: skip
def loud_column(seed: int, factor: float = 1e4) -> Setup:
    kept = list(samples.cancer(seed)())
    scale = torch.ones(30)
    scale[7] = factor
    labelled = [(x * scale, y.long()) for x, y in kept]
    return sgd(stack([30, 32, 32, 2], nn.Tanh), lambda: iter(labelled), rate=0.1)


cured("column-times-ten-thousand", why="All columns standardised.")(partial(loud_column, factor=1.0))


@case(
    "target-around-thousand", label="unscaled-target", root="", steps=300, fixes=("standardise the target",),
    source="lecun1998; Stack Overflow 52800582",
    why="The target deviates by 1 around 1,000: the bias is on its way there for all of the training.",
)  # fmt: skip
def offset(seed: int, shift: float = 1000.0) -> Setup:
    model = stack([10, 32, 32, 1], nn.ReLU, he)
    return adam(model, samples.diabetes(seed, target_shift=shift), F.mse_loss, rate=3e-3)


cured("target-around-thousand", why="Mean 0.")(partial(offset, shift=0.0))


@case(
    "leaky-gain-two", label="exploding-gradient", root="", steps=200, fixes=("he",),
    source="he2015, section 2.2",
    why="Twenty-four leaky ReLU layers with weights of twice the size that they want.",
)  # fmt: skip
def leaky(seed: int, variance: float = 7.7) -> Setup:
    model = stack([64, *[64] * 24, 10], lambda: nn.LeakyReLU(0.2), normal(variance))
    return sgd(model, samples.digits(seed), rate=0.01)


cured("leaky-gain-two", why="The variance that leaky ReLU wants, 1.92 / fan_in.")(partial(leaky, variance=1.92))


def _orthogonal(gain: float) -> Start:
    return lambda weight: nn.init.orthogonal_(weight, gain)


@case(
    "half-orthogonal-tanh", label="vanishing-gradient", root="", steps=200, fixes=("a gain of 1",),
    source="saxe2014, section 3",
    why="Twenty tanh layers, orthogonal, with a gain of a half: half of the gradient at each.",
)  # fmt: skip
def half_orthogonal(seed: int, gain: float = 0.5) -> Setup:
    return sgd(stack([64, *[64] * 20, 10], nn.Tanh, _orthogonal(gain)), samples.digits(seed), rate=0.03)


cured("half-orthogonal-tanh", why="A gain of 1.")(partial(half_orthogonal, gain=1.0))


@case(
    "chaotic-stack", label="shattered-gradient", root="", steps=200, fixes=("a variance of 1 / fan_in",),
    source="poole2016; balduzzi2017",
    why="Fifty tanh layers in the chaotic phase: neighbouring inputs have gradients with nothing in common.",
)  # fmt: skip
def chaotic(seed: int, variance: float = 2.5) -> Setup:
    return sgd(stack([64, *[64] * 50, 10], nn.Tanh, normal(variance)), samples.digits(seed), rate=0.01)


cured("chaotic-stack", why="A variance of 1.05 / fan_in.")(partial(chaotic, variance=1.05))


@case(
    "six-everywhere", label="saturated-activation", root="1", steps=300, fixes=("biases of 0",),
    source="generated, with ReLU6, after glorot2010, section 3.1",
    why="Biases of 40 hold the first layer of ReLU6 at its ceiling, where it is flat, for every example.",
)  # fmt: skip
def ceiling(seed: int, bias: float = 40.0) -> Setup:
    model = stack([64, 64, 64, 10], nn.ReLU6, he)
    nn.init.constant_(model[0].bias, bias)  # pyright: ignore[reportArgumentType]
    return sgd(model, samples.digits(seed), rate=0.1)


cured("six-everywhere", why="Biases of 0.")(partial(ceiling, bias=0.0))


class Shares(nn.Module):
    """A softmax written by hand, exp over the sum of exp, with or without the largest taken off first."""

    def __init__(self, *, safe: bool) -> None:
        super().__init__()
        self.body, self.safe = stack([64, 64, 10], nn.ReLU, he), safe

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities [batch, 10]."""
        scores = 60.0 * self.body(x)
        if self.safe:
            scores = scores - scores.max(1, keepdim=True).values.detach()
        raised = torch.exp(scores)
        return raised / raised.sum(1, keepdim=True)


def _log_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(torch.log(output + 1e-6), target)


@case(
    "softmax-by-hand", label="non-finite", root="/exp#1", steps=200, fixes=("subtract the largest first", "cross_entropy"),
    source="generated, after a softmax written by hand",
    why="exp of scores in the hundreds is infinite in float32, and infinity over infinity is nan.",
)  # fmt: skip
def by_hand(seed: int, *, safe: bool = False) -> Setup:
    return adam(Shares(safe=safe), samples.digits(seed), _log_loss)


cured("softmax-by-hand", why="The largest score is taken off first.")(partial(by_hand, safe=True))


@case(
    "inputs-all-alike", label="class-prior-only", root="", steps=300, fixes=("feed the inputs",),
    source="generated, after a data loader that returns its buffer",
    why="Every row of a batch holds the same image, the targets are right: how often the classes come is all there is to learn.",
)  # fmt: skip
def all_alike(seed: int, *, alike: bool = True) -> Setup:
    kept = list(samples.digits(seed)())
    shown = [(x[:1].expand_as(x).clone(), y) for x, y in kept] if alike else kept
    return adam(stack([64, 64, 10], nn.ReLU, he), lambda: iter(shown))


cured("inputs-all-alike", why="Its own image for each row.")(partial(all_alike, alike=False))


def _summed(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target, reduction="sum")


@case(
    "error-summed", label="learning-rate-too-large", root="", steps=200, fixes=("the mean", "lower-learning-rate"),
    source="TheDeepChecker, fault wrong loss reduction",
    why="The error is summed over the batch, not averaged: the rate is 32 times what was meant.",
)  # fmt: skip
def summed(seed: int, loss: LossFunction = _summed) -> Setup:
    return sgd(stack([10, 64, 64, 1], nn.ReLU, he), samples.diabetes(seed), loss, rate=0.05)


cured("error-summed", why="The mean.")(partial(summed, loss=F.mse_loss))
