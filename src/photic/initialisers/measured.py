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

    Raises:
        ValueError: if a layer's output does not vary at all on the batch.
    """
    inputs, _ = batches.split(batch)
    for layer in layers:
        orthogonal(layer, generator)
    said: list[str] = []
    for layer in layers:
        deviation = 0.0
        for _ in range(attempts):
            deviation = _deviation(model, layer, inputs)
            if deviation == 0.0:
                raise ValueError(
                    f"the output of {layer.name} does not vary on this batch, so it cannot be scaled; is it dead?"
                )
            if abs(deviation - 1.0) < tolerance:
                break
            with torch.no_grad():
                layer.weight.div_(deviation)
        said.append(f"orthogonal, output deviation {deviation:.3g}")
    return said


def _deviation(model: nn.Module, layer: Layer, inputs: Any) -> float:
    """Return the deviation of all that the layer's weight makes in one forward pass."""
    from photic.probes.calls import Call, tensors_in, watching

    heard: list[float] = []

    def visit(call: Call) -> Any:
        result = call.run()
        if any(tensor is layer.weight for tensor in tensors_in((call.args, call.kwargs))):
            heard.extend(float(made.detach().double().std()) for made in tensors_in(result))
        return result

    with untouched(model), torch.no_grad(), watching(model, visit):
        batches.call(model, inputs)
    return heard[0] if heard else 0.0
