"""Heard: at which places of its input a network's answers have a slope at all; beyond a receptive field it is exactly 0."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import batches
from photic.probes.calls import tensors_in
from photic.probes.generators import seed_torch
from photic.probes.untouched import untouched

_EXAMPLES = 64


def unheard(model: nn.Module, batch: Any, *, seed: int = 0) -> float | None:
    """Return the share of an example's numbers at which d(output)/d(input) is exactly 0 for all examples of the batch.

    The outputs are weighted by random numbers. None where the input is no single tensor of real numbers, or nothing at all is heard.
    """
    inputs, _ = batches.split(batch)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim < 2 or len(inputs) < 4:
        return None
    entering = inputs.detach()[:_EXAMPLES].clone().requires_grad_()
    try:
        with untouched(model), torch.enable_grad():
            seed_torch(seed)
            given = [t for t in tensors_in(batches.call(model, entering)) if t.is_floating_point() and t.requires_grad]
            weights = [torch.randn(t.shape, generator=torch.Generator().manual_seed(seed)).to(t) for t in given]
            (slopes,) = torch.autograd.grad(given, entering, weights)
    except Exception:  # a model that cannot be asked this way is not accused
        return None
    heard = (slopes != 0.0).any(0)
    return float((~heard).double().mean()) if bool(heard.any()) and bool(slopes.isfinite().all()) else None
