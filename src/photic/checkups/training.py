"""The plain training loop, with the true update of every parameter where it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.probes import batches as batch_forms


def train(
    setup: Setup,
    source: Iterator[Any],
    steps: int,
    *,
    progress: Callable[[int, float], None] | None = None,
    patience: Callable[[Sequence[float]], bool] | None = None,
) -> list[float]:
    """Train the set-up in place and return the loss of every step.

    Args:
        source: where batches come from; it must not end early.
        progress: told step and loss after each step.
        patience: asked after each step with all losses so far; training ends when it returns False. A loss that is
            not finite ends it too.
    """
    losses: list[float] = []
    for step in range(steps):
        inputs, targets = batch_forms.split(next(source))
        setup.optimizer.zero_grad()
        value = batch_forms.scalar_loss(batch_forms.call(setup.model, inputs), targets, setup.loss, step)
        if value.requires_grad:
            value.backward()
        setup.optimizer.step()
        losses.append(float(value.detach()))
        if progress is not None:
            progress(step, losses[-1])
        if not math.isfinite(losses[-1]) or (patience is not None and not patience(losses)):
            break
    return losses


def evaluate(model: nn.Module, loss: Any, batches: Sequence[Any]) -> float:
    """Return the mean loss over batches, in eval mode and without gradient; the mode is put back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            values = [
                float(batch_forms.scalar_loss(batch_forms.call(model, inputs), targets, loss, 0))
                for inputs, targets in map(batch_forms.split, batches)
            ]
    finally:
        for module, mode in modes:
            module.training = mode
    return sum(values) / max(len(values), 1)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters by name."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def updates(before: dict[str, Tensor], model: nn.Module) -> dict[str, tuple[float, float]]:
    """Return, by parameter, |after - before| / |before| and the share of elements left bit-identical.

    The ratio is infinite where a parameter that was 0 moved, and 0 where nothing moved.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, parameter in model.named_parameters():
        if name not in before or parameter.numel() == 0:
            continue
        old, new = before[name], parameter.detach()
        moved = torch.linalg.vector_norm((new - old).flatten(), dtype=torch.float64)
        size = torch.linalg.vector_norm(old.flatten(), dtype=torch.float64)
        ratio = float(moved / size) if float(size) > 0.0 else (math.inf if float(moved) > 0.0 else 0.0)
        found[name] = ratio, int((new == old).sum()) / parameter.numel()
    return found
