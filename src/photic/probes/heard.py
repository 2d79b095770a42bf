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

    The outputs are weighted by random numbers. With another example's numbers there the answers must be the same, bit for bit. None
    where they are not, where the input is no single tensor of real numbers, or where nothing at all is heard.
    """
    inputs, _ = batches.split(batch)
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim < 2 or len(inputs) < 4:
        return None
    given_once = inputs.detach()[:_EXAMPLES]
    entering = given_once.clone().requires_grad_()
    try:
        with untouched(model), torch.enable_grad():
            seed_torch(seed)
            given = [t for t in tensors_in(batches.call(model, entering)) if t.is_floating_point() and t.requires_grad]
            weights = [torch.randn(t.shape, generator=torch.Generator().manual_seed(seed)).to(t) for t in given]
            (slopes,) = torch.autograd.grad(given, entering, weights)
            silent = (slopes == 0.0).all(0)
            # Numbers that are ids, or lie where a curve is flat, have no slope and are heard all the same.
            others = torch.where(silent, given_once.roll(1, 0), given_once)
            seed_torch(seed)
            again = [t for t in tensors_in(batches.call(model, others)) if t.is_floating_point() and t.requires_grad]
            same = all(torch.equal(one, other) for one, other in zip(given, again, strict=True))
    except Exception:  # a model that cannot be asked this way is not accused
        return None
    known = same and bool((~silent).any()) and bool(slopes.isfinite().all())
    return float(silent.double().mean()) if known else None
