"""What the rules of others look at: gradients, weights, module outputs, losses and accuracy of one whole training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from photic.checkups.setup import Setup
from photic.probes import batches as forms

ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}


@dataclass(frozen=True)
class Passed:
    """What went through one module in one forward pass.

    Attributes:
        kind: `relu`, `sigmoid`, `tanh`, or the class of another module without children.
        given, made: input and output, detached, examples first.
    """

    kind: str
    given: Tensor
    made: Tensor


@dataclass(frozen=True)
class Moment:
    """One step that was looked at: before the optimizer moved, and by how much it did."""

    step: int
    weights: dict[str, Tensor]
    gradients: dict[str, Tensor]
    moved: dict[str, float]
    passed: dict[str, Passed]


@dataclass
class Course:
    """One training, as others would see it.

    Attributes:
        losses: of every step.
        classes: whether the targets are classes, so that there is an accuracy.
        accuracy: mean over each whole epoch, 0 to 1.
        moments: the steps that were looked at.
        rate: learning rate of the first parameter group.
        steps: number of steps.
    """

    losses: list[float] = field(default_factory=list[float])
    classes: bool = False
    accuracy: list[float] = field(default_factory=list[float])
    moments: list[Moment] = field(default_factory=list[Moment])
    rate: float = 0.0
    steps: int = 0


def course(setup: Setup, steps: int, *, every: int = 10) -> Course:
    """Train a set-up in place and keep what the rules ask for: each of the first ten steps, then one in `every`."""
    found = Course(rate=float(setup.optimizer.param_groups[0]["lr"]), steps=steps)
    right: list[float] = []
    source, epoch_ends = _batches(setup)
    for step in range(steps):
        batch = next(source)
        inputs, targets = forms.split(batch)
        looked = step < 10 or step % every == 0
        passed: dict[str, Passed] = {}
        setup.optimizer.zero_grad()
        with _listening(setup.model, passed) if looked else _nothing():
            output = forms.call(setup.model, inputs)
        value = forms.scalar_loss(output, targets, setup.loss, step)
        if value.requires_grad:
            value.backward()
        before = {n: p.detach().clone() for n, p in setup.model.named_parameters()} if looked else {}
        gradients = {
            n: p.grad.detach().clone() for n, p in setup.model.named_parameters() if looked and p.grad is not None
        }
        setup.optimizer.step()
        moved = {
            n: float((p.detach() - before[n]).double().norm() / before[n].double().norm().clamp_min(1e-300))
            for n, p in setup.model.named_parameters()
            if looked
        }
        found.losses.append(float(value.detach()))
        if looked:
            found.moments.append(Moment(step, before, gradients, moved, passed))
        right += _right(output, targets)
        found.classes = found.classes or bool(right)
        if epoch_ends() and right:
            found.accuracy.append(sum(right) / len(right))
            right = []
        if not math.isfinite(found.losses[-1]):
            break
    return found


def _batches(setup: Setup) -> tuple[Iterator[Any], Any]:
    """Return endless batches, and a question whether the one just taken was the last of an epoch."""
    state = {"ended": False}

    def forever() -> Iterator[Any]:
        while True:
            ahead: Any = None
            for index, batch in enumerate(setup.batches()):
                if index:
                    state["ended"] = False
                    yield ahead
                ahead = batch
            state["ended"] = True
            yield ahead

    return forever(), lambda: state["ended"]


def _right(output: Any, targets: Any) -> list[float]:
    if not (isinstance(output, Tensor) and isinstance(targets, Tensor)) or targets.is_floating_point():
        return []
    if output.ndim == targets.ndim + 1 and output.shape[-1] > 1 and output.shape[:-1] == targets.shape:
        return (output.argmax(-1) == targets).flatten().tolist()
    return []


@contextmanager
def _listening(model: nn.Module, passed: dict[str, Passed]) -> Iterator[None]:
    """Keep input and output of every module without children, as a module hook shows them."""

    def keep(name: str, kind: str) -> Any:
        def hook(_: nn.Module, given: Any, made: Any) -> None:
            if given and isinstance(given[0], Tensor) and isinstance(made, Tensor):
                passed[name] = Passed(kind, given[0].detach().clone(), made.detach().clone())

        return hook

    handles = [
        module.register_forward_hook(keep(name, ACTIVATIONS.get(type(module), type(module).__name__)))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def per_unit(values: Tensor) -> Tensor:
    """Return [examples, units]: a convolution's channels are units, positions are examples; else the last axis."""
    if values.ndim > 3:
        return values.movedim(1, -1).flatten(0, -2)
    return values.flatten(0, -2) if values.ndim > 1 else values.unsqueeze(1)
