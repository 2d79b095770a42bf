"""Stacks: hundreds of narrow networks trained at once, one batched matrix product per layer for all of them.

Axes: S network of the stack, B batch, I inputs of a layer, O outputs of a layer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.initialisers.drawing import fill_orthogonal

Optimizer = Literal["sgd", "momentum", "adam"]
Weights = Literal["normal", "orthogonal"]
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain network of hidden layers of one width, with a linear output, and how it is trained.

    Attributes:
        activation: torch's word for it.
        depth: hidden layers.
        width: units in each.
        inputs, outputs: sizes of both ends.
        weight_variance: fan_in * Var[w] of every layer.
        bias_variance: Var[b] of the hidden layers; the output has none.
        weights: `normal`, or `orthogonal` times the root of `weight_variance`.
        optimizer: `sgd`, `momentum` (SGD with 0.9), or `adam`.
        learning_rate: of it.
        seed: of the initial values; a network is drawn the same alone and in any stack.
    """

    activation: str
    depth: int
    width: int
    inputs: int
    outputs: int
    weight_variance: float
    bias_variance: float = 0.0
    weights: Weights = "normal"
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.1
    seed: int = 0

    @property
    def shape(self) -> tuple[str, int, int, int, int, str, float]:
        """What networks of one stack have in common."""
        return (self.activation, self.depth, self.width, self.inputs, self.outputs, self.optimizer, self.learning_rate)


class Trained(NamedTuple):
    """What training gave.

    Attributes:
        losses: [S, steps], the loss of every network on every batch.
        weights: of each layer [S, I, O].
        biases: of each layer [S, 1, O].
    """

    losses: Tensor
    weights: list[Tensor]
    biases: list[Tensor]


def curve(name: str) -> Callable[[Tensor], Tensor]:
    """Return torch's function of an activation.

    Raises:
        ValueError: if torch has none of that name.
    """
    for home in (torch, F):
        found: Any = getattr(home, name, None)
        if found is not None:
            return found
    raise ValueError(f"torch has no activation {name!r}")


def initial(network: Plain) -> tuple[list[Tensor], list[Tensor]]:
    """Return the initial weights [I, O] and biases [O] of each layer, drawn from the network's own seed."""
    generator = torch.Generator()
    generator.manual_seed(network.seed)
    sizes = [network.inputs, *[network.width] * network.depth, network.outputs]
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    for place, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        if network.weights == "orthogonal":
            gain = math.sqrt(network.weight_variance)
            weights.append(fill_orthogonal(torch.empty(fan_in, fan_out), gain=gain, generator=generator))
        else:
            drawn = torch.randn(fan_in, fan_out, generator=generator)
            weights.append(drawn * math.sqrt(network.weight_variance / fan_in))
        spread = math.sqrt(network.bias_variance) if place < network.depth else 0.0
        biases.append(torch.randn(fan_out, generator=generator) * spread)
    return weights, biases


def module(network: Plain) -> nn.Sequential:
    """Return the same network, with the same initial values, as an ordinary module."""
    weights, biases = initial(network)
    function = curve(network.activation)
    layers: list[nn.Module] = []
    for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        linear: Any = nn.utils.skip_init(nn.Linear, *weight.shape)  # draws nothing from torch's generator
        with torch.no_grad():
            linear.weight.copy_(weight.T)
            linear.bias.copy_(bias)
        layers += [linear] if place == network.depth else [linear, _Curve(function)]
    return nn.Sequential(*layers)


class _Curve(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of x."""
        return self.function(x)


def make_optimizer(network: Plain, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Return the network's optimizer; all of them act element by element, so a stack is trained as each alone."""
    if network.optimizer == "adam":
        return torch.optim.Adam(parameters, network.learning_rate)
    return torch.optim.SGD(parameters, network.learning_rate, momentum=0.9 if network.optimizer == "momentum" else 0.0)


def outputs(
    weights: Sequence[Tensor], biases: Sequence[Tensor], function: Callable[[Tensor], Tensor], x: Tensor
) -> Tensor:
    """Return the outputs [S, B, O] of every network of the stack for inputs x [B, I]."""
    h = x.expand(weights[0].shape[0], *x.shape)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        h = function(torch.baddbmm(bias, h, weight))
    return torch.baddbmm(biases[-1], h, weights[-1])


def train(
    networks: Sequence[Plain], batches: Iterable[Batch], *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Trained:
    """Train networks of one shape on the same batches, each as if it were alone: plain cross-entropy.

    A network that diverges stays nan and disturbs no other. Losses equal those of training alone up to the rounding
    of the matrix products, until chaos amplifies it: `photic.lab.rounding` tells how long.

    Args:
        dtype: of weights and signals; the initial values are the float32 ones in either.
        device: where they are trained; the initial values are drawn on the CPU.

    Raises:
        ValueError: if the networks do not fit into one stack.
    """
    shapes = {network.shape for network in networks}
    if len(shapes) != 1:
        raise ValueError(f"a stack has networks of one shape, got {len(shapes)}: {sorted(shapes)[:3]}")
    drawn = [initial(network) for network in networks]
    layers = range(len(drawn[0][0]))
    weights = [torch.stack([w[layer] for w, _ in drawn]).to(device, dtype).requires_grad_() for layer in layers]
    biases = [torch.stack([b[layer] for _, b in drawn])[:, None].to(device, dtype).requires_grad_() for layer in layers]
    optimizer = make_optimizer(networks[0], [*weights, *biases])
    function = curve(networks[0].activation)
    losses: list[Tensor] = []
    for x, y in batches:
        optimizer.zero_grad()
        logits = outputs(weights, biases, function, x.to(device, dtype))
        targets = y.to(device).expand(len(networks), -1)
        each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape).mean(1)
        each.sum().backward()
        optimizer.step()
        losses.append(each.detach())
    return Trained(torch.stack(losses, 1), [w.detach() for w in weights], [b.detach() for b in biases])


def accuracies(networks: Sequence[Plain], trained: Trained, batch: Batch) -> Tensor:
    """Return the share [S] of examples that each network names rightly; a diverged network gets what nan gets: 0."""
    with torch.no_grad():
        inputs = batch[0].to(trained.weights[0])  # its device and dtype
        logits = outputs(trained.weights, trained.biases, curve(networks[0].activation), inputs).cpu()
    right = (logits.argmax(2) == batch[1]) & logits.isfinite().all(2)
    return right.double().mean(1)
