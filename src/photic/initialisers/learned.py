"""MetaInit and GradInit: learn one scale per weight so that the first steps of training go well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from photic.initialisers.roles import Layer
from photic.initialisers.schemes import he
from photic.probes import batches
from photic.probes.untouched import untouched

Loss = Callable[[Any, Any], Tensor]


def meta_init(
    model: nn.Module,
    layers: Sequence[Layer],
    batch: Any,
    loss: Loss | None,
    generator: torch.Generator,
    *,
    steps: int = 100,
    rate: float = 0.1,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
) -> list[str]:
    """Scale each weight so that a gradient step changes the gradient least: minimise mean |(g - H g) / (g + eps) - 1|.

    Sign descent on the norms of the weight tensors. Source: dauphin2019, algorithm 1; the public code's momentum and
    rate, with fewer steps. The loss must be twice differentiable.
    """
    for layer in layers:
        he(layer, generator)
    weights = [layer.weight for layer in layers]
    speeds = [0.0] * len(weights)
    for _ in range(steps):
        with untouched(model), torch.enable_grad():
            value = _loss(model, batch, loss)
            first = torch.autograd.grad(value, weights, create_graph=True)
            product = torch.autograd.grad(
                sum((g.square().sum() for g in first), value.new_zeros(())) / 2, weights, create_graph=True
            )
            count = sum(w.numel() for w in weights)
            quotient = (
                sum(
                    (
                        ((g - hg) / (g + epsilon * torch.where(g.detach() < 0, -1.0, 1.0)) - 1.0).abs().sum()
                        for g, hg in zip(first, product, strict=True)
                    ),
                    value.new_zeros(()),
                )
                / count
            )
            slopes = torch.autograd.grad(quotient, weights)
        with torch.no_grad():
            for k, (weight, slope) in enumerate(zip(weights, slopes, strict=True)):
                norm = float(weight.norm())
                if norm == 0.0 or not bool(torch.isfinite(slope).all()):
                    continue
                along = float((slope * weight).sum()) / norm
                speeds[k] = momentum * speeds[k] - rate * math.copysign(1.0, along) if along else momentum * speeds[k]
                weight.mul_(abs(norm + speeds[k]) / norm)
    return [f"norm {float(weight.detach().norm()):.3g}" for weight in weights]


def grad_init(
    model: nn.Module,
    layers: Sequence[Layer],
    batch: Any,
    loss: Loss | None,
    generator: torch.Generator,
    *,
    steps: int = 60,
    rate: float = 0.02,
    step_length: float = 0.1,
    gradient_limit: float = 1.0,
) -> list[str]:
    """Scale each weight so that the loss after one step of SGD is least, while the gradient's norm stays below a limit.

    Adam-like sign steps on the log of one scale per weight; where the limit is exceeded, the norm itself is lowered.
    Source: zhu2021, algorithm 1.
    """
    for layer in layers:
        he(layer, generator)
    weights = [layer.weight for layer in layers]
    names = [layer.name for layer in layers]
    base = [weight.detach().clone() for weight in weights]
    logs = [torch.zeros((), requires_grad=True) for _ in weights]
    optimizer = torch.optim.Adam(logs, lr=rate)
    inputs, targets = batches.split(batch)

    def value_at(values: Sequence[Tensor]) -> Tensor:
        output = torch.func.functional_call(model, dict(zip(names, values, strict=True)), *_arguments(inputs))
        return batches.scalar_loss(output, targets, loss, 0)

    for _ in range(steps):
        with untouched(model), torch.enable_grad():
            scaled = [b * log.exp() for b, log in zip(base, logs, strict=True)]
            first = torch.autograd.grad(value_at(scaled), scaled, create_graph=True)
            norm = torch.stack([g.square().sum() for g in first]).sum().sqrt()
            if float(norm.detach()) > gradient_limit:
                aim = norm
            else:
                aim = value_at([w - step_length * g for w, g in zip(scaled, first, strict=True)])
            slopes = torch.autograd.grad(aim, logs)
        for log, slope in zip(logs, slopes, strict=True):
            log.grad = slope if bool(torch.isfinite(slope)) else torch.zeros_like(slope)
        optimizer.step()
    with torch.no_grad():
        for weight, b, log in zip(weights, base, logs, strict=True):
            weight.copy_(b * log.exp())
    return [f"He times {math.exp(float(log.detach())):.3g}" for log in logs]


def _arguments(inputs: Any) -> tuple[Any, ...]:
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs if isinstance(inputs, tuple) else (inputs,),)


def _loss(model: nn.Module, batch: Any, loss: Loss | None) -> Tensor:
    inputs, targets = batches.split(batch)
    return batches.scalar_loss(batches.call(model, inputs), targets, loss, 0)
