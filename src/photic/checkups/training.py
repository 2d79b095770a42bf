"""The plain training loop, with the true update of every parameter where it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

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
            not finite ends it too, and so does code that refuses weights which are not (as torch.distributions does): a nan.
    """
    losses: list[float] = []
    for step in range(steps):
        batch = batch_forms.split(next(source))
        try:
            losses.append(_step(setup, *batch, step))
        except Exception:
            if all(bool(torch.isfinite(parameter).all()) for parameter in setup.model.parameters()):
                raise
            losses.append(math.nan)
        if progress is not None:
            progress(step, losses[-1])
        if not math.isfinite(losses[-1]) or (patience is not None and not patience(losses)):
            break
    return losses


def _step(setup: Setup, inputs: Any, targets: Any, step: int) -> float:
    setup.optimizer.zero_grad()
    value = batch_forms.scalar_loss(batch_forms.call(setup.model, inputs), targets, setup.loss, step)
    if value.requires_grad:
        value.backward()
    setup.optimizer.step()
    return float(value.detach())


def evaluate(model: nn.Module, loss: Any, batches: Sequence[Any]) -> float:
    """Return the mean loss over batches, in eval mode and without gradient; mode and buffers are put back.

    Where the loss does not take what the model gives in that mode (detections where it gave losses), the mode stays as it is.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return _mean_loss(model, loss, batches)
    except Exception:
        _restore(modes)
        kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
        try:
            return _mean_loss(model, loss, batches)
        finally:
            with torch.no_grad():
                for buffer, before in kept:
                    buffer.copy_(before)
    finally:
        _restore(modes)


def _restore(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


def _mean_loss(model: nn.Module, loss: Any, batches: Sequence[Any]) -> float:
    try:
        with torch.no_grad():
            values = [_loss_of(model, loss, batch) for batch in batches]
    except RuntimeError:  # a slope is asked for on the way, as forces are: that needs a graph
        with torch.enable_grad():
            values = [_loss_of(model, loss, batch) for batch in batches]
    return sum(values) / max(len(values), 1)


def _loss_of(model: nn.Module, loss: Any, batch: Any) -> float:
    inputs, targets = batch_forms.split(batch)
    return float(batch_forms.scalar_loss(batch_forms.call(model, inputs), targets, loss, 0))
