"""Recurrence: what the first step says must be remembered, and fades, grows, or is shut out by gates."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import adam


class LastState(nn.Module):
    """A recurrent layer and a classifier of its last output."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size, samples.KINDS)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [batch, KINDS] of sequences [batch, time, KINDS + 1]."""
        return self.head(self.layer(x)[0][:, -1])


def plain(kind: Literal["tanh", "relu"], recurrence: float | None, hidden: int = 32) -> LastState:
    """Return a plain recurrent network whose recurrent matrix is `recurrence` times the identity, or torch's own."""
    layer = nn.RNN(samples.KINDS + 1, hidden, nonlinearity=kind, batch_first=True)
    if recurrence is not None:
        with torch.no_grad():
            layer.weight_hh_l0.copy_(recurrence * torch.eye(hidden))
            layer.bias_hh_l0.zero_()
            layer.bias_ih_l0.zero_()
    return LastState(layer)


def long_short(forget: float | None, scale: float = 1.0, hidden: int = 32, *, chrono: int = 0) -> LastState:
    """Return an LSTM with a forget bias, gates scaled by `scale`, or biases for `chrono` time steps (tallec2018)."""
    layer = nn.LSTM(samples.KINDS + 1, hidden, batch_first=True)
    with torch.no_grad():
        if forget is not None:
            layer.bias_hh_l0.zero_()
            layer.bias_ih_l0.zero_()
            layer.bias_ih_l0[hidden : 2 * hidden] = forget
        if chrono:
            layer.bias_hh_l0.zero_()
            layer.bias_ih_l0.zero_()
            layer.bias_ih_l0[hidden : 2 * hidden] = torch.log(1 + torch.rand(hidden) * (chrono - 2))
            layer.bias_ih_l0[:hidden] = -layer.bias_ih_l0[hidden : 2 * hidden]
        if scale != 1.0:
            layer.weight_ih_l0.mul_(scale)
            layer.weight_hh_l0.mul_(scale)
    return LastState(layer)


@case(
    "tanh-recurrence-50", label="vanishing-in-time", root="layer", steps=300, fixes=("orthogonal-recurrence", "chrono LSTM"),
    source="pascanu2013, section 2.1; hochreiter1998",
    why="The class is shown at the first of 50 steps; torch's recurrence shrinks what it knew at each.",
)  # fmt: skip
def tanh_recurrence(seed: int, recurrence: float | None = None) -> Setup:
    return adam(plain("tanh", recurrence), samples.recall(seed, length=50), rate=1e-3)


@case(
    "relu-recurrence-half", label="vanishing-in-time", root="layer", steps=300, fixes=("identity recurrence", "chrono LSTM"),
    source="le2015, section 3",
    why="A recurrence of half the identity halves what is known at each of 40 steps.",
)  # fmt: skip
def relu_recurrence(seed: int, recurrence: float = 0.5) -> Setup:
    return adam(plain("relu", recurrence), samples.recall(seed, length=40), rate=1e-3)


@case(
    "forgetful-lstm", label="vanishing-in-time", root="layer", steps=300, fixes=("chrono", "forget bias of 1 or more"),
    source="jozefowicz2015, section 3; gers2000",
    why="A forget bias of -4: the cell keeps a fiftieth of itself from step to step, over 40 steps.",
)  # fmt: skip
def forgetful(seed: int, forget: float = -4.0) -> Setup:
    return adam(long_short(forget), samples.recall(seed, length=40), rate=3e-3)


@case(
    "default-lstm-120", label="vanishing-in-time", root="layer", steps=300, fixes=("chrono",),
    source="tallec2018, section 3",
    why="torch's LSTM starts with forget gates at a half, and the class is shown 120 steps before the end.",
)  # fmt: skip
def default_lstm(seed: int, chrono: int = 0) -> Setup:
    return adam(long_short(None, chrono=chrono), samples.recall(seed, length=120, rows=320), rate=1e-2)


@case(
    "relu-recurrence-growing", label="exploding-in-time", root="layer", steps=200, fixes=("identity recurrence", "gradient clipping"),
    source="pascanu2013, section 2.1; le2015",
    why="A recurrence of 1.5 times the identity: over 40 steps signal and gradient grow by 1e7.",
)  # fmt: skip
def growing(seed: int, recurrence: float = 1.5) -> Setup:
    return adam(plain("relu", recurrence), samples.recall(seed, length=40), rate=1e-3)


@case(
    "tanh-recurrence-chaotic", label="exploding-in-time", root="layer", steps=300, fixes=("orthogonal-recurrence",),
    source="pascanu2013, section 2.3",
    why="Recurrent weights of eight times the usual deviation: chaos, where the gradient grows backwards in time.",
)  # fmt: skip
def chaotic(seed: int, *, wild: bool = True) -> Setup:
    model = plain("tanh", None, 64)
    layer = model.layer
    with torch.no_grad():
        if wild:
            layer.weight_hh_l0.normal_(std=4.0 / math.sqrt(64))
        else:
            nn.init.orthogonal_(layer.weight_hh_l0)
    return adam(model, samples.recall(seed, length=25), rate=1e-3)


@case(
    "shut-gates", label="saturated-gates", root="layer", steps=300, fixes=("scale the input", "smaller weights"),
    source="gers2000, on gates; generated",
    why="LSTM weights 60 times too large: all gates are at 0 or 1, and flat.",
)  # fmt: skip
def shut_gates(seed: int, scale: float = 60.0) -> Setup:
    return adam(long_short(1.0, scale), samples.recall(seed, length=20), rate=3e-3)


@case(
    "gates-of-raw-input", label="saturated-gates", root="layer", steps=300, fixes=("scale the input",),
    source="generated",
    why="Inputs 3000 times too large shut or open every gate by chance at each step.",
)  # fmt: skip
def raw_input(seed: int, scale: float = 3000.0) -> Setup:
    return adam(long_short(1.0), samples.recall(seed, length=20, scale=scale), rate=3e-3)
