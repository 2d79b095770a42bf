"""Units: inputs and outputs standardised inside the model, and a loss whose gradient alone is scaled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import batches as batch_forms

LossFunction = Callable[[Any, Any], Tensor]


def standardise_input(model: nn.Module, batches: Sequence[Any]) -> None:
    """Let the model see its first input with mean 0 and deviation 1 per column (last axis; channels of an image).

    Raises:
        ValueError: if what enters first are no floating-point numbers.
    """
    given = [_first(inputs) for inputs, _ in map(batch_forms.split, batches)]
    if not all(isinstance(x, Tensor) and x.is_floating_point() for x in given):
        raise ValueError(
            "what enters the model first is no tensor of floating-point numbers; it cannot be standardised"
        )
    mean, deviation = _statistics(given)
    model.__dict__["forward"] = _Standardised(model.forward, mean, deviation)


def fill_input(model: nn.Module) -> None:
    """Let the model see 0 in the place of every number of its inputs that is not finite."""
    model.__dict__["forward"] = _Filled(model.forward)


def standardise_output(model: nn.Module, batches: Sequence[Any]) -> float:
    """Let the model's output be mean + deviation * its own, with those of the targets; return the deviation.

    One mean and one deviation for all columns: the user's loss keeps its meaning and its units.

    Raises:
        ValueError: if the targets are no floating-point numbers, or all the same.
    """
    given = [targets for _, targets in map(batch_forms.split, batches)]
    if not all(isinstance(y, Tensor) and y.is_floating_point() for y in given):
        raise ValueError("the targets are no tensor of floating-point numbers; they cannot be standardised")
    numbers = torch.cat([y.detach().double().flatten() for y in given])
    mean, deviation = float(numbers.mean()), float(numbers.std(correction=0))
    if not deviation > 0.0:
        raise ValueError("the targets are all the same; they cannot be standardised")
    model.__dict__["forward"] = _Restored(model.forward, mean, deviation)
    return deviation


def _first(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return next(iter(inputs.values()))  # pyright: ignore
    return inputs[0] if isinstance(inputs, (tuple, list)) else inputs  # pyright: ignore


def _statistics(given: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    x = torch.cat([one.detach().double() for one in given])
    axis = 1 if x.ndim >= 4 else x.ndim - 1
    others = [index for index in range(x.ndim) if index != axis] if x.ndim > 1 else [0]
    mean, deviation = x.mean(others, keepdim=True), x.std(others, correction=0, keepdim=True)
    # A column that never varies is only shifted: 1 keeps it 0, and its own rounding would make it noise.
    constant = deviation <= 1e-6 * mean.abs().clamp(min=1e-30)
    return mean.to(given[0].dtype), torch.where(constant, 1.0, deviation).to(given[0].dtype)


class _Standardised:
    """A forward whose first input is standardised. Survives deepcopy of the model."""

    def __init__(self, forward: Callable[..., Any], mean: Tensor, deviation: Tensor) -> None:
        self.forward, self.mean, self.deviation = forward, mean, deviation
        self.first = next(iter(inspect.signature(forward).parameters))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            return self.forward(self.scaled(args[0]), *args[1:], **kwargs)
        name = self.first if self.first in kwargs else next(iter(kwargs))
        return self.forward(**{**kwargs, name: self.scaled(kwargs[name])})

    def scaled(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x.device)) / self.deviation.to(x.device)


class _Restored:
    """A forward whose output is brought to the units of the target."""

    def __init__(self, forward: Callable[..., Any], mean: float, deviation: float) -> None:
        self.forward, self.mean, self.deviation = forward, mean, deviation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs) * self.deviation + self.mean


class ScaledBackward:
    """The loss as it is, in value; its gradient is `factor` times as large."""

    def __init__(self, loss: LossFunction, factor: float) -> None:
        self.loss, self.factor = loss, factor

    def __call__(self, output: Any, targets: Any) -> Tensor:
        """Return the loss."""
        value = self.loss(output, targets)
        return _Scaled.apply(value, self.factor)  # pyright: ignore


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


class _Filled:
    """A forward whose inputs hold 0 where they were not finite. Survives deepcopy of the model."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*map(_finite, args), **{name: _finite(value) for name, value in kwargs.items()})


def _finite(value: Any) -> Any:
    real = isinstance(value, Tensor) and value.is_floating_point()
    return torch.nan_to_num(value, 0.0, 0.0, 0.0) if real else value
