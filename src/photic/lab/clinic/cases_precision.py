"""Precision: what half precision rounds to zero, to infinity, or to where it was."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.lab.clinic import samples
from photic.lab.clinic.case import case
from photic.lab.clinic.networks import he, normal, stack


class Cast(nn.Module):
    """A network in a narrow type, with inputs cast to it and outputs cast back to float32."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return the network's output as float32."""
        return self.network(x.to(self.dtype)).float()


@case(
    "half-tiny-loss", label="gradient-underflow", root="", steps=200, fixes=("scale the loss", "bfloat16"),
    source="micikevicius2018, section 3.2",
    why="float16 ends at 6e-8; a loss times 2e-6 has gradients below it, which become exactly 0.",
)  # fmt: skip
def tiny_loss(seed: int, factor: float = 2e-6) -> Setup:
    def loss(output: Any, targets: Any) -> Tensor:
        return factor * F.cross_entropy(output, targets)

    model = Cast(stack([64, 64, 64, 10], nn.ReLU, he), torch.float16)
    return Setup(model, samples.digits(seed), loss, torch.optim.SGD(model.parameters(), lr=0.1 / factor))


@case(
    "half-deep-tanh", label="gradient-underflow", root="", steps=200, fixes=("bfloat16", "float32", "xavier"),
    source="micikevicius2018, section 3.2; schoenholz2017",
    why="Ten tanh layers with small weights: in float32 the gradient is small, in float16 it is 0 on the way.",
)  # fmt: skip
def deep_half(seed: int, variance: float = 0.1) -> Setup:
    model = Cast(stack([64, *[64] * 12, 10], nn.Tanh, normal(variance)), torch.float16)
    return Setup(model, samples.digits(seed), F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1))


@case(
    "bfloat16-weights", label="rounding-frozen", root="", steps=300, fixes=("float32 weights", "stochastic rounding"),
    source="micikevicius2018, section 3.1",
    why="bfloat16 keeps 8 bits: a step below 1/256 of a weight rounds to none, and those of rate 3e-5 are.",
)  # fmt: skip
def bfloat_weights(seed: int, dtype: torch.dtype = torch.bfloat16) -> Setup:
    network = stack([64, 64, 64, 10], nn.ReLU, he)
    with torch.no_grad():
        for parameter in network.parameters():  # no weight so small that it would move
            parameter.copy_(parameter.sign() * parameter.abs().clamp_min(0.1))
        for module in network:
            if isinstance(module, nn.Linear):
                module.bias.fill_(0.1)
    model = Cast(network, dtype)
    return Setup(
        model, samples.digits(seed), F.cross_entropy, torch.optim.Adam(model.parameters(), lr=1.5e-4, eps=1e-6)
    )


@case(
    "half-overflow", label="non-finite", root="", steps=100, fixes=("bfloat16", "smaller weights"),
    source="huggingface/transformers#5651",
    why="Weights fit for a wider type: the signal passes 65504, the largest number of float16.",
)  # fmt: skip
def half_overflow(seed: int, variance: float = 2000.0) -> Setup:
    model = Cast(stack([64, 64, 64, 64, 10], nn.ReLU, normal(variance)), torch.float16)
    return Setup(model, samples.digits(seed), F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1))


@case(
    "half-epsilon", label="zero-epsilon", root="network.0", steps=100, fixes=("an epsilon of 1e-4", "float32 weights"),
    source="pytorch/pytorch#8860",
    why="Adam's epsilon of 1e-8 is 0 in float16, and so are the squares of small gradients: 0/0.",
)  # fmt: skip
def half_epsilon(seed: int, eps: float = 1e-8) -> Setup:
    model = Cast(stack([64, 64, 64, 10], nn.ReLU, he), torch.float16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=eps)
    return Setup(model, samples.digit_pixels(seed), F.cross_entropy, optimizer)


@case(
    "half-exponentials", label="non-finite", root="network.1", steps=100, fixes=("torch's softmax", "float32"),
    source="huggingface/transformers#14189, with a softmax",
    why="A softmax written by hand, without subtracting the largest score: in float16 e^12 is infinite.",
)  # fmt: skip
def half_exponentials(seed: int, *, safe: bool = False) -> Setup:
    network = nn.Sequential(nn.Linear(64, 32), HandSoftmax(safe=safe), nn.Linear(32, 10))
    with torch.no_grad():
        next(network.parameters()).mul_(10)
    model = Cast(network, torch.float16)
    return Setup(model, samples.digits(seed), F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.5))


class HandSoftmax(nn.Module):
    """e^x over its sum; `safe` subtracts the largest x first."""

    def __init__(self, *, safe: bool) -> None:
        super().__init__()
        self.safe = safe

    def forward(self, x: Tensor) -> Tensor:
        """Return shares that sum to 1."""
        exponential = torch.exp(x - x.detach().amax(-1, keepdim=True) if self.safe else x)
        return exponential / exponential.sum(-1, keepdim=True)
