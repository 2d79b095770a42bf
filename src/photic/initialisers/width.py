"""muP, the maximal update parametrisation: variances and learning rates that carry over from narrow to wide networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from photic.initialisers.drawing import fans, fill_normal
from photic.initialisers.roles import Layer

Role = Literal["input", "hidden", "output"]


def role_of(layer: Layer, *, first: bool) -> Role:
    """Return which of a layer's dimensions grow with the width: the outputs, both, or the inputs."""
    return "input" if first else "output" if layer.last else "hidden"


def mup(layers: Sequence[Layer], generator: torch.Generator) -> list[str]:
    """muP: Var[w] = 1 / fan_in for input and hidden layers, 1 / fan_in^2 for the output, biases 0 (yang2021, table 3)."""
    said: list[str] = []
    for index, layer in enumerate(layers):
        fan_in, _ = fans(layer.weight)
        role = role_of(layer, first=index == 0)
        fill_normal(layer.weight, variance=1.0 / fan_in**2 if role == "output" else 1.0 / fan_in, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        said.append(f"{role}: deviation {float(layer.weight.detach().std()):.3g}")
    return said


def mup_groups(
    model: nn.Module,
    layers: Sequence[Layer],
    *,
    rate: float,
    base_width: int,
    optimizer: Literal["adam", "sgd"] = "adam",
) -> list[dict[str, Any]]:
    """Return parameter groups with muP's learning rates, for `torch.optim.AdamW(groups)` or SGD.

    `rate` is the one tuned at `base_width`. Adam: input and biases 1, hidden and output 1 / width. SGD: input and
    biases width, hidden 1, output 1 / width; all relative to the base (yang2021, table 3).
    """
    if base_width < 1:
        raise ValueError(f"the base width is at least 1, got {base_width}")
    by_parameter: dict[int, float] = {}
    for index, layer in enumerate(layers):
        fan_in, fan_out = fans(layer.weight)
        role = role_of(layer, first=index == 0)
        wide = fan_out / base_width if role == "input" else fan_in / base_width
        if optimizer == "adam":
            factor = 1.0 if role == "input" else 1.0 / wide
        else:
            factor = {"input": wide, "hidden": 1.0, "output": 1.0 / wide}[role]
        by_parameter[id(layer.weight)] = factor
        if layer.bias is not None:
            by_parameter[id(layer.bias)] = 1.0 if optimizer == "adam" or role == "output" else fan_out / base_width
    groups: dict[float, list[Any]] = {}
    for parameter in model.parameters():
        groups.setdefault(by_parameter.get(id(parameter), 1.0), []).append(parameter)
    return [{"params": held, "lr": rate * factor} for factor, held in groups.items()]
