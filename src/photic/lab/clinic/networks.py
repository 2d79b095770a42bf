"""The networks most cases are made of: stacks of layers, their first weights, and set-ups around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.checkups.setup import Batches, LossFunction, Setup

Start = Callable[[Tensor], Any]


def stack(
    sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU, start: Start | None = None
) -> nn.Sequential:
    """Return linear layers with an activation between them, none after the last; see `begin` for `start`."""
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
        if index:
            layers.append(activation())
        layers.append(nn.Linear(before, after))
    model = nn.Sequential(*layers)
    return model if start is None else begin(model, start)


def begin(model: nn.Sequential, start: Start) -> nn.Sequential:
    """Draw the weight of every linear and convolutional layer with `start`, set the biases to 0, return the model."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            start(module.weight)
            if module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]  # torch types it as never None
                nn.init.zeros_(module.bias)
    return model


def normal(variance: float) -> Start:
    """Return a start with N(0, variance / fan_in): 1 is LeCun's, 2 is He's (he2015, equation 10)."""

    def draw(weight: Tensor) -> Tensor:
        return nn.init.normal_(weight, std=math.sqrt(variance / weight[0].numel()))

    return draw


he = normal(2.0)


def xavier(weight: Tensor) -> Tensor:
    """Fill with the uniform start of glorot2010, equation 16."""
    return nn.init.xavier_uniform_(weight)


def sgd(
    model: nn.Module,
    batches: Batches,
    loss: LossFunction = F.cross_entropy,
    *,
    rate: float = 0.1,
    momentum: float = 0.0,
) -> Setup:
    """Return a set-up trained by gradient descent."""
    return Setup(model, batches, loss, torch.optim.SGD(_trainable(model), lr=rate, momentum=momentum))


def adam(model: nn.Module, batches: Batches, loss: LossFunction = F.cross_entropy, *, rate: float = 1e-3) -> Setup:
    """Return a set-up trained by Adam."""
    return Setup(model, batches, loss, torch.optim.Adam(_trainable(model), lr=rate))


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def token_loss(output: Tensor, targets: Tensor) -> Tensor:
    """Return the cross entropy of logits [batch, time, vocabulary] and tokens [batch, time]."""
    return F.cross_entropy(output.flatten(0, 1), targets.flatten())
