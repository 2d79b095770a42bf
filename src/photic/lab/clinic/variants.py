"""Variants: the same training written, scaled or named otherwise, of which the verdict must be the same."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from photic.checkups.setup import Setup
from photic.probes import batches as forms

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


_BETWEEN = (
    *_FUNCTIONAL, nn.BatchNorm1d, nn.LayerNorm, nn.Dropout, nn.Identity, nn.Softmax, nn.ReLU6, nn.Hardsigmoid, nn.Softsign,
)  # fmt: skip


def wider(setup: Setup, times: int = 4) -> Setup | None:
    """Make the hidden layers of every plain chain of linear layers `times` as wide; None without one.

    Weights are drawn from the entries of the old ones, with replacement, and scaled so that fan_in * Var[w] stays. What enters
    and leaves a chain keeps its width, and so do convolutions, recurrent layers and attention. Whether training comes out
    the same must be seen by training: wider networks want other rates.
    """
    draw = torch.Generator().manual_seed(0)
    replaced: dict[int, nn.Parameter] = {}
    for chain in [module for module in setup.model.modules() if type(module) is nn.Sequential]:
        _widen(chain, times, draw, replaced)
    if not replaced:
        return None
    for group in setup.optimizer.param_groups:
        group["params"] = [replaced.get(id(parameter), parameter) for parameter in group["params"]]
    return setup


def _widen(chain: nn.Sequential, times: int, draw: torch.Generator, replaced: dict[int, nn.Parameter]) -> None:
    places = [place for place, module in enumerate(chain) if type(module) is nn.Linear]
    if len(places) < 2 or any(
        type(module) is not nn.Linear and not isinstance(module, _BETWEEN)
        for module in list(chain)[places[0] : places[-1]]
    ):
        return

    def redrawn(old: nn.Parameter, shape: tuple[int, ...], factor: float = 1.0) -> nn.Parameter:
        if id(old) not in replaced:
            values = old.detach().flatten()
            picked = torch.randint(values.numel(), (math.prod(shape),), generator=draw)
            new = (values[picked] * factor).reshape(shape).to(old.dtype)
            replaced[id(old)] = nn.Parameter(new, requires_grad=old.requires_grad)
        return replaced[id(old)]

    for place in range(places[0], places[-1] + 1):
        module = chain[place]
        if isinstance(module, nn.Linear):
            enters = module.in_features * (times if place != places[0] else 1)
            leaves = module.out_features * (times if place != places[-1] else 1)
            factor = math.sqrt(module.in_features / enters)
            module.weight = redrawn(module.weight, (leaves, enters), factor)
            if isinstance(module.bias, nn.Parameter):  # pyright: ignore[reportUnnecessaryIsInstance]
                module.bias = redrawn(module.bias, (leaves,))
            module.in_features, module.out_features = enters, leaves
        elif isinstance(module, (nn.BatchNorm1d, nn.LayerNorm)):
            width = times * module.weight.numel()
            new = type(module)(width)
            new.weight, new.bias = redrawn(module.weight, (width,)), redrawn(module.bias, (width,))
            chain[place] = new


def elsewhere(setup: Setup) -> Setup | None:
    """Train on the accelerator, with the same values and batches; None where a part of the set-up cannot be moved.

    Tensors that a module holds as plain attributes and those that the loss encloses are moved as well.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return None

    def moved(value: Any) -> Any:
        return value.to(accelerator) if isinstance(value, Tensor) else value

    setup.model.to(accelerator)
    for module in setup.model.modules():
        vars(module).update({name: moved(value) for name, value in vars(module).items() if type(value) is Tensor})
    if isinstance(setup.loss, nn.Module):
        setup.loss.to(accelerator)
    for cell in getattr(setup.loss, "__closure__", None) or ():
        if type(cell.cell_contents) is Tensor:
            cell.cell_contents = moved(cell.cell_contents)

    def batches() -> Iterator[Any]:
        return (pytree.tree_map(moved, batch) for batch in setup.batches())

    there = setup._replace(batches=batches)
    try:
        inputs, targets = forms.split(next(batches()))
        with torch.no_grad():
            forms.scalar_loss(forms.call(copy.deepcopy(setup.model), inputs), targets, setup.loss, 0)
    except (RuntimeError, TypeError, ValueError):
        return None
    return there


VARIANTS: dict[str, Variant] = {
    "loss x 1000": lambda setup: scaled(setup, 1000.0),
    "loss / 1000": lambda setup: scaled(setup, 0.001),
    "float64": double,
    "inside another module": renamed,
    "activations as calls": functional,
    "batches x 4": larger,
    "width x 4": wider,
}
if torch.accelerator.is_available():
    VARIANTS["on the accelerator"] = elsewhere
