"""Activations: units that are saturated, dead, or of the wrong kind for what they must give."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import adam, begin, he, normal, sgd, stack, xavier


@case(
    "sigmoid-large-weights", label="saturated-activation", root="1", steps=300, fixes=("xavier", "relu-activation"),
    source="glorot2010, section 3.1",
    why="Weights 60 times too large drive the sigmoids of three layers to 0 or 1 and their slopes to 0.",
)  # fmt: skip
def sigmoid_large(seed: int, variance: float = 4000.0) -> Setup:
    return sgd(stack([64, 64, 64, 64, 10], nn.Sigmoid, normal(variance)), samples.digits(seed), rate=1.0)


@case(
    "tanh-large-weights", label="saturated-activation", root="1", steps=300, fixes=("xavier",),
    source="glorot2010, section 3.2",
    why="N(0, 1) weights, thus of variance fan_in over the usual one, in five tanh layers of 128.",
)  # fmt: skip
def tanh_large(seed: int, variance: float = 128.0) -> Setup:
    return sgd(stack([64, *[128] * 5, 10], nn.Tanh, normal(variance)), samples.digits(seed), rate=0.03)


@case(
    "softmax-hidden", label="vanishing-gradient", root="1", steps=300, fixes=("relu-activation", "tanh-activation"),
    source="TheDeepChecker, fault softmax as hidden activation",
    why="A softmax after each hidden layer of 128: its outputs are about 1/128 and its slopes too.",
)  # fmt: skip
def softmax_hidden(seed: int, activation: Callable[[], nn.Module] = partial(nn.Softmax, dim=-1)) -> Setup:
    return sgd(stack([64, 128, 128, 10], activation, he), samples.digits(seed))


@case(
    "dead-layer", label="dead-units", root="5", steps=300, fixes=("zero bias", "leaky ReLU"),
    source="facebookresearch/dlrm#358, in the extreme",
    why="Biases of -100 hold every ReLU of the third layer at 0 on all inputs.",
)  # fmt: skip
def dead_layer(seed: int, bias: float = -100.0) -> Setup:
    model = stack([64, *[64] * 4, 10], nn.ReLU, he)
    torch.nn.init.constant_(_linear(model, 4).bias, bias)
    return sgd(model, samples.digits(seed))


def _linear(model: nn.Sequential, index: int) -> nn.Linear:
    layer = model[index]
    assert isinstance(layer, nn.Linear)
    return layer


@case(
    "dead-convolution", label="dead-units", root="4", steps=300, fixes=("zero bias", "leaky ReLU", "batch normalisation"),
    source="facebookresearch/dlrm#358, with convolutions",
    why="Biases of -20 hold every channel of the second convolution at 0.",
)  # fmt: skip
def dead_convolution(seed: int, bias: float = -20.0) -> Setup:
    second = nn.Conv2d(8, 16, 3, padding=1)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.Flatten()]
    model = begin(nn.Sequential(*layers, nn.Linear(256, 10)), he)
    assert second.bias is not None
    torch.nn.init.constant_(second.bias, bias)
    return adam(model, samples.digit_images(seed))


@case(
    "narrow-relu-20", label="dead-units", root="", steps=300, fixes=("leaky ReLU", "layer-normalisation", "wider layers"),
    source="AUTOTRAINER, model 8e28bdef, narrower",
    why="Twenty ReLU layers of 2 units: one of them almost surely starts at 0 for all inputs.",
)  # fmt: skip
def narrow(seed: int, activation: Callable[[], nn.Module] = nn.ReLU) -> Setup:
    return adam(stack([2, *[2] * 20, 3], activation, he), samples.blobs(seed), rate=3e-3)


@case(
    "killed-by-first-step", label="dead-units", root="3", steps=300, fixes=("scale the target", "smaller learning rate"),
    source="Stack Overflow 48934338",
    why="y = x^3 up to 64, a rate of 0.1: the first step throws every ReLU to the side where it is 0.",
)  # fmt: skip
def killed(seed: int, rate: float = 0.1, *, scaled: bool = False) -> Setup:
    batches = samples.curve(seed, low=0.0, high=4.0, power=3, scaled=scaled)
    return sgd(stack([1, 50, 30, 1]), batches, F.mse_loss, rate=rate)


@case(
    "relu-output", label="dying-output", root="5", steps=300, fixes=("drop the last ReLU", "softplus in its place"),
    source="wpgp/BSGMi, population_estimation#68; ProteomicsML#203",
    why="A ReLU behind the last layer of a regression whose first outputs are below 0: no gradient at all.",
)  # fmt: skip
def relu_output(seed: int, last: Callable[[], nn.Module] = nn.ReLU) -> Setup:
    model = nn.Sequential(*stack([10, 64, 64, 1], nn.ReLU, he), last())
    torch.nn.init.constant_(_linear(model, 4).bias, -8.0)
    return adam(model, samples.diabetes(seed, target_shift=2.0), F.mse_loss, rate=1e-2)


@case(
    "sigmoid-output-wide-target", label="dying-output", root="5", steps=300, fixes=("linear output", "scale the target"),
    source="Stack Overflow 48221692",
    why="A sigmoid gives 0 to 1; the target lies around 10, so it saturates at 1 and stops.",
)  # fmt: skip
def sigmoid_output(seed: int, last: Callable[[], nn.Module] = nn.Sigmoid) -> Setup:
    model = nn.Sequential(*stack([10, 64, 64, 1], nn.ReLU, he), last())
    return adam(model, samples.diabetes(seed, target_scale=2.0, target_shift=10.0), F.mse_loss, rate=1e-2)


@case(
    "hard-tanh-shifted", label="saturated-activation", root="3", steps=300, fixes=("zero bias", "xavier"),
    source="generated",
    why="Biases of 30 hold every hard tanh of the second layer at 1, where its slope is exactly 0.",
)  # fmt: skip
def hard_tanh(seed: int, bias: float = 30.0) -> Setup:
    model = stack([64, 64, 64, 10], nn.Hardtanh, xavier)
    torch.nn.init.constant_(_linear(model, 2).bias, bias)
    return sgd(model, samples.digits(seed))
