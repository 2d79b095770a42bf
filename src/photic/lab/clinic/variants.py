"""Variants: the same training written, scaled or named otherwise, of which the verdict must be the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from photic.checkups.setup import Setup

Variant = Callable[[Setup], Setup | None]

_FUNCTIONAL: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: torch.relu, nn.Sigmoid: torch.sigmoid, nn.Tanh: torch.tanh, nn.GELU: F.gelu, nn.SiLU: F.silu, nn.ELU: F.elu,
    nn.SELU: F.selu, nn.Softplus: F.softplus, nn.Hardtanh: F.hardtanh, nn.LeakyReLU: F.leaky_relu,
}  # fmt: skip


def scaled(setup: Setup, factor: float) -> Setup | None:
    """Multiply the loss, and divide SGD's rate or multiply Adam's and RMSprop's epsilon by the same: the steps are the same.

    None for other optimizers, for a loss inside the output, and in reduced precision, where the scale matters.
    """
    kind, loss = type(setup.optimizer), setup.loss
    if (
        loss is None
        or kind not in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop)
        or _reduced(setup)
    ):
        return None
    for group in setup.optimizer.param_groups:
        if kind is torch.optim.SGD:
            group["lr"] /= factor
        else:
            group["eps"] *= factor
        if kind is not torch.optim.AdamW:  # its decay is no part of the gradient
            group["weight_decay"] *= factor
    return setup._replace(loss=lambda output, targets: factor * loss(output, targets))


def double(setup: Setup) -> Setup | None:
    """Compute in float64; None where less than float32 is the point."""
    if _reduced(setup):
        return None
    setup.model.double()

    def batches() -> Iterator[Any]:
        return (pytree.tree_map(_to_double, batch) for batch in setup.batches())

    return setup._replace(batches=batches)


def _to_double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _reduced(setup: Setup) -> bool:
    return any(p.is_floating_point() and p.dtype is not torch.float32 for p in setup.model.parameters())


class Within(nn.Module):
    """A network inside another: every name gets longer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Any, **named: Any) -> Any:
        """Pass everything on."""
        return self.network(*given, **named)


def renamed(setup: Setup) -> Setup:
    """Put the network into another module."""
    return setup._replace(model=Within(setup.model))


class Written(nn.Module):
    """An activation that is written as a call."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x)


def functional(setup: Setup) -> Setup | None:
    """Replace activation modules with default settings by calls; None without one."""
    found = False
    for parent in list(setup.model.modules()):
        for name, child in list(parent.named_children()):
            plain = type(child) in _FUNCTIONAL and repr(child) == repr(type(child)())
            if plain:
                setattr(parent, name, Written(_FUNCTIONAL[type(child)]))
                found = True
    return setup if found else None


def larger(setup: Setup, times: int = 4) -> Setup | None:
    """Join every `times` batches to one; None where they are no nests of tensors, or too few."""
    if sum(1 for _ in zip(setup.batches(), range(2 * times), strict=False)) < 2 * times:
        return None

    def batches() -> Iterator[Any]:
        source = setup.batches()
        while len(group := [batch for batch, _ in zip(source, range(times), strict=False)]) == times:
            yield pytree.tree_map(lambda *parts: torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0], *group)

    try:
        next(batches())
    except (RuntimeError, ValueError):
        return None
    return setup._replace(batches=batches)


VARIANTS: dict[str, Variant] = {
    "loss x 1000": lambda setup: scaled(setup, 1000.0),
    "loss / 1000": lambda setup: scaled(setup, 0.001),
    "float64": double,
    "inside another module": renamed,
    "activations as calls": functional,
    "batches x 4": larger,
}
