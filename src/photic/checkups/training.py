"""The plain training loop, with the true update of every parameter where it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from photic.checkups.setup import Setup
from photic.probes import batches as batch_forms
from photic.probes.untouched import untouched


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
    """Return the mean loss over batches, in eval mode and without gradient; the mode is put back.

    A model that gives something else while it evaluates, which the loss does not take, is asked as it trains; buffers and
    generators stay as they were.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return _mean_loss(model, loss, batches)
    except Exception:
        for module, mode in modes:
            module.training = mode
        if not model.training:
            raise
        with untouched(model):
            return _mean_loss(model, loss, batches)
    finally:
        for module, mode in modes:
            module.training = mode


def _mean_loss(model: nn.Module, loss: Any, batches: Sequence[Any]) -> float:
    with torch.no_grad():
        values = [
            float(batch_forms.scalar_loss(batch_forms.call(model, inputs), targets, loss, 0))
            for inputs, targets in map(batch_forms.split, batches)
        ]
    return sum(values) / max(len(values), 1)
