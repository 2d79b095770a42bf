"""Neighbours: how alike the gradients of two inputs are that lie close together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import batches
from photic.probes.calls import tensors_in
from photic.probes.generators import seed_torch
from photic.probes.untouched import untouched

NEAR = 1.0 / 32.0  # of the way to the next example
_EXAMPLES = 64


def neighbours(model: nn.Module, batch: Any, *, seed: int = 0) -> float | None:
    """Return the mean cosine of d(output)/dx at x and at a point 1/32 of the way to the next example of the batch.

    Two passes with the same random numbers, so that dropout drops the same; each example's output is weighted by random
    numbers of its own. Where units open and shut between the two points the gradients differ; a cosine of 0 is white noise.
    None where the input is no single tensor of real numbers, the output does not go by examples, or most gradients are 0.

    Source: balduzzi2017, section 2, there the autocorrelation along lines between examples.
    """
    inputs, _ = batches.split(batch)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim < 2 or len(inputs) < 4:
        return None
    inputs = inputs.detach()[:_EXAMPLES]
    try:
        with untouched(model), torch.enable_grad():
            here = _gradients(model, inputs, seed)
            there = _gradients(model, torch.lerp(inputs, inputs.roll(1, 0), NEAR), seed)
    except Exception:  # a model that cannot be asked this way is not accused
        return None
    if here is None or there is None:
        return None
    known = (here.norm(dim=1) > 0.0) & (there.norm(dim=1) > 0.0)
    cosines = torch.cosine_similarity(here, there, dim=1)[known]
    return float(cosines.mean()) if 2 * len(cosines) > len(inputs) and bool(cosines.isfinite().all()) else None


def _gradients(model: nn.Module, inputs: Tensor, seed: int) -> Tensor | None:
    seed_torch(seed)
    entering = inputs.clone().requires_grad_()
    found = batches.call(model, entering)
    output = next((t for t in tensors_in(found) if t.is_floating_point() and t.requires_grad), None)
    if output is None or output.ndim == 0 or len(output) != len(inputs):
        return None
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed)).to(output)
    (gradient,) = torch.autograd.grad(output, entering, weights)
    rows = gradient.double().flatten(1)
    return rows / rows.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
