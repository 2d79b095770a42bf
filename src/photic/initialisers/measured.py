"""LSUV: orthogonal weights, then every layer scaled until what it makes of real data has unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from photic.initialisers.roles import Layer
from photic.initialisers.schemes import orthogonal
from photic.probes import batches
from photic.probes.untouched import untouched


def lsuv(
    model: nn.Module,
    layers: Sequence[Layer],
    batch: Any,
    generator: torch.Generator,
    *,
    tolerance: float = 0.1,
    attempts: int = 10,
) -> list[str]:
    """Divide each weight by the deviation of its layer's output, from the input upwards, until it is 1 within 0.1.

    Source: mishkin2016, algorithm 1, with the authors' defaults. Biases are 0. The batch should be a typical one.

    Where a layer's output does not vary on the batch, as above a few ReLU units that are all off, the layer before it is drawn anew, up
    to `attempts` times; then it stays as it is, as long as the last layer's output varies. One that gets no row of the batch, an expert to
    which nothing is sent, keeps its orthogonal weights.

    Raises:
        ValueError: if the last layer's output does not vary.
    """
    inputs, _ = batches.split(batch)
    for layer in layers:
        orthogonal(layer, generator)
    said: list[str] = []
    still: list[str] = []
    for place, layer in enumerate(layers):
        deviation = _scaled(model, layer, inputs, tolerance, attempts)
        for _ in range(attempts if place else 0):
            if deviation != 0.0:
                break
            orthogonal(layers[place - 1], generator)
            _scaled(model, layers[place - 1], inputs, tolerance, attempts)
            deviation = _scaled(model, layer, inputs, tolerance, attempts)
        if deviation == 0.0:
            still.append(layer.name)
        size = "no row of this batch" if deviation is None else f"output deviation {deviation:.3g}"
        said.append(f"orthogonal, {size}")
    if still and still[-1] == layers[-1].name:
        raise ValueError(f"the output of {still[0]} does not vary on this batch, so it cannot be scaled; is it dead?")
    return said


def _scaled(model: nn.Module, layer: Layer, inputs: Any, tolerance: float, attempts: int) -> float | None:
    """Scale a layer until its output deviates by 1, and return the deviation that was seen last: 0 where it does not vary, None without one."""
    deviation = None
    for _ in range(attempts):
        deviation = _deviation(model, layer, inputs)
        if not deviation or abs(deviation - 1.0) < tolerance:
            break
        with torch.no_grad():
            layer.weight.div_(deviation)
    return deviation


def _deviation(model: nn.Module, layer: Layer, inputs: Any) -> float | None:
    """Return the deviation of all that the layer's weight makes in one forward pass; None where it makes nothing of this batch."""
    from photic.probes.calls import Call, tensors_in, watching

    heard: list[float] = []

    def visit(call: Call) -> Any:
        result = call.run()
        if any(tensor is layer.weight for tensor in tensors_in((call.args, call.kwargs))):
            heard.extend(float(made.detach().double().std()) for made in tensors_in(result) if made.numel() > 1)
        return result

    with untouched(model), torch.no_grad(), watching(model, visit):
        batches.call(model, inputs)
    return heard[0] if heard else None
