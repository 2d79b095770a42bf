"""Data: inputs and targets in units that the first weights and the learning rate were not made for."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import adam, sgd, stack, xavier


@case(
    "raw-cancer-table", label="unscaled-input", root="0", steps=300, fixes=("standardise the columns",),
    source="Stack Overflow 39525358, with the breast cancer table",
    why="Columns from 0.001 to 4000 under gradient descent: the large ones decide, and throw the units about.",
)  # fmt: skip
def raw_cancer(seed: int, *, raw: bool = True) -> Setup:
    batches = samples.cancer(seed, raw=raw, column=True)
    return sgd(stack([30, 32, 32, 1]), batches, F.binary_cross_entropy_with_logits)


@case(
    "pixels-times-hundred-tanh", label="unscaled-input", root="0", steps=300, fixes=("standardise the input",),
    source="AUTOTRAINER, problem abnormal data",
    why="Inputs a hundred times too large drive the first tanh layer to -1 and 1.",
)  # fmt: skip
def large_pixels(seed: int, scale: float = 100.0) -> Setup:
    return sgd(stack([64, 32, 32, 32, 10], nn.Tanh, xavier), samples.digits(seed, scale=scale), rate=0.1)


@case(
    "pixels-shifted", label="unscaled-input", root="0", steps=300, fixes=("subtract the mean",),
    source="lecun1998, section 4.3",
    why="All inputs lie around 30 and vary by 1: the common part rules the first layer and its gradient.",
)  # fmt: skip
def shifted_pixels(seed: int, shift: float = 30.0) -> Setup:
    return sgd(stack([64, 64, 64, 10]), samples.digits(seed, shift=shift))


@case(
    "pixels-in-thousandths", label="unscaled-input", root="0", steps=300, fixes=("standardise the input",),
    source="lecun1998, section 4.3",
    why="Inputs a thousand times too small: the first layer's signal and gradient are as small.",
)  # fmt: skip
def small_pixels(seed: int, scale: float = 1e-3) -> Setup:
    return sgd(stack([64, 64, 64, 10]), samples.digits(seed, scale=scale))


@case(
    "fourth-power", label="unscaled-input", root="0", steps=300, fixes=("standardise input and target",),
    source="Stack Overflow 52800582",
    why="x from -100 to 100 into sigmoids, targets to 100 millions.",
)  # fmt: skip
def fourth_power(seed: int, *, scaled: bool = False) -> Setup:
    batches = samples.curve(seed, low=-100.0, high=100.0, power=4, scaled=scaled)
    model = nn.Sequential(nn.Linear(1, 50), nn.Sigmoid(), nn.Linear(50, 50), nn.ELU(), nn.Linear(50, 1))
    return adam(model, batches, F.mse_loss, rate=1e-2)


@case(
    "target-in-thousands", label="unscaled-target", root="", steps=300, fixes=("standardise the target",),
    source="TheDeepChecker, fault over-scaled outputs",
    why="The target lies around 5000; Adam moves the output by about its rate per step and never gets there.",
)  # fmt: skip
def large_target(seed: int, target_scale: float = 1000.0, target_shift: float = 5000.0) -> Setup:
    batches = samples.diabetes(seed, target_scale=target_scale, target_shift=target_shift)
    return adam(stack([10, 64, 64, 1]), batches, F.mse_loss)


@case(
    "target-in-hundreds-descent", label="unscaled-target", root="", steps=300, fixes=("standardise the target", "smaller learning rate"),
    source="Stack Overflow 48934338, with the diabetes table",
    why="Errors in the hundreds make gradients in the hundreds: the first steps of gradient descent destroy the network.",
)  # fmt: skip
def hundreds(seed: int, target_scale: float = 100.0, target_shift: float = 300.0) -> Setup:
    batches = samples.diabetes(seed, target_scale=target_scale, target_shift=target_shift)
    return sgd(stack([10, 64, 64, 1], partial(nn.LeakyReLU, 0.01)), batches, F.mse_loss, rate=0.01)
