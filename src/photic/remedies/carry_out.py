"""Carry out a prescription on a model: draw its weights, and substitute calls while its forward runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.initialisers.drawing import fill_normal
from photic.initialisers.initialise import initialise
from photic.initialisers.recurrent import chrono, orthogonal_recurrence
from photic.probes.calls import Call, watching
from photic.remedies.prescription import LayerInitialisation, Prescription

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


def carry_out(prescription: Prescription, model: nn.Module, *, seed: int, batch: Any = None) -> None:
    """Change the model in place; class, attributes and parameter names stay.

    Calls are substituted by wrapping the instance's `forward`, so the user's code need not change to find out.
    `batch` is needed where weights are drawn by a scheme that looks at the network.
    """
    parameters = dict(model.named_parameters())
    generator = torch.Generator().manual_seed(seed)
    for layer in prescription.layers:
        draw(layer, parameters, generator)
    if prescription.recurrence == "chrono":
        chrono(model, generator, longest=prescription.longest)
    elif prescription.recurrence == "orthogonal":
        orthogonal_recurrence(model, generator)
    if prescription.scheme:
        initialise(model, prescription.scheme, batch=batch, seed=seed)
    substitutes = _substitutes(prescription)
    if substitutes:
        model.__dict__["forward"] = _SubstitutedForward(model, model.forward, substitutes)


def draw(layer: LayerInitialisation, parameters: Mapping[str, Tensor], generator: torch.Generator) -> None:
    """Fill a layer's weight and bias as its scheme says."""
    weight = parameters[layer.weight]
    fan_in = math.prod(weight.shape[1:])
    fan_out = weight.shape[0] * math.prod(weight.shape[2:])
    variance = {
        "xavier": 2.0 / (fan_in + fan_out),
        "he": 2.0 / fan_in,
        "lecun": 1.0 / fan_in,
        "centred": layer.scale / fan_in,
    }[layer.scheme]
    fill_normal(weight, variance=variance, generator=generator)
    if layer.bias:
        with torch.no_grad():
            bias = parameters[layer.bias]
            bias.copy_(layer.shift * weight.flatten(1).sum(1)) if layer.scheme == "centred" else bias.zero_()


Substitute = Callable[[Call], Any]


def _substitutes(prescription: Prescription) -> dict[str, Substitute]:
    found: dict[str, Substitute] = {}
    for name, operation in prescription.activations.items():
        found[name] = _Replace(operation)
    for name in prescription.normalised:
        found[name] = _normalise_first
    for name in prescription.removed:
        found[name] = _hand_through
    for name in prescription.straight:
        found[name] = _straight_through
    for name, factor in prescription.factors.items():
        found[name] = _Scale(factor)
    for layer, activation in prescription.residual:
        branch = _Branch()
        found[layer], found[activation] = branch.enter, branch.leave
    return found


class _Replace:
    """Calls another activation on the same input."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def __call__(self, call: Call) -> Any:
        return _ACTIVATIONS[self.operation](call.args[0])


def _normalise_first(call: Call) -> Any:
    x: Tensor = call.args[0]
    normal = F.group_norm(x, 1) if x.ndim >= 4 else F.layer_norm(x, x.shape[-1:])
    return call.function(normal, *call.args[1:], **call.kwargs)


def _hand_through(call: Call) -> Any:
    return call.args[0]


def _straight_through(call: Call) -> Any:
    x: Tensor = call.args[0]
    return x + (call.run() - x).detach()


class _Scale:
    """Multiplies the first argument."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, call: Call) -> Any:
        return call.function(call.args[0] * self.factor, *call.args[1:], **call.kwargs)


class _Branch:
    """Adds what entered a layer to what leaves its activation, where the shapes agree."""

    def __init__(self) -> None:
        self.entered: Tensor | None = None

    def enter(self, call: Call) -> Any:
        self.entered = call.args[0]
        return call.run()

    def leave(self, call: Call) -> Any:
        skip, self.entered = self.entered, None
        value: Tensor = call.run()
        return value if skip is None or skip.shape != value.shape else value + skip


class _SubstitutedForward:
    """The model's forward with some of its calls substituted. Survives deepcopy and pickling of the model."""

    def __init__(self, model: nn.Module, forward: Callable[..., Any], substitutes: dict[str, Substitute]) -> None:
        self.model = model
        self.forward = forward
        self.substitutes = substitutes

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with watching(self.model, self.visit):
            return self.forward(*args, **kwargs)

    def visit(self, call: Call) -> Any:
        substitute = self.substitutes.get(call.name)
        return call.run() if substitute is None else substitute(call)
