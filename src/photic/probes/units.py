"""How the units of an activation behave over the batch: dead, saturated, where they sit on the curve."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from photic.activations import find
from photic.records.runs import UnitFacts

SAMPLE = 65_536  # elements on which slope and quantiles are computed; larger tensors are read with a stride
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
ALWAYS = 0.99  # share of the batch on which a saturated unit must be flat


def unit_facts(
    operation: str, settings: Mapping[str, float | int | str], before: Tensor, after: Tensor, *, axis: int
) -> UnitFacts | None:
    """Return what the units did; None for an operation that is no known activation, or an empty tensor.

    Args:
        before: pre-activation, before an in-place operation overwrites it.
        after: output, of the same shape.
        axis: the axis that counts the units.
    """
    activation = find(operation, settings)
    if activation is None or before.numel() == 0 or before.shape != after.shape or before.is_complex():
        return None
    units = before.shape[axis] if before.ndim else 1
    z_NU = _by_unit(before.detach(), axis)
    y_NU = _by_unit(after.detach(), axis)
    flat_NU = torch.zeros_like(z_NU, dtype=torch.bool)
    for low, high in activation.flat_intervals:
        flat_NU |= (z_NU >= low) & (z_NU <= high)
    silent_NU = y_NU == 0
    sample = z_NU.reshape(-1)[:: max(1, z_NU.numel() // SAMPLE)].to(torch.float64).cpu().numpy()
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return None
    slope = activation.slope(sample)
    return UnitFacts(
        units=units,
        dead_fraction=float((silent_NU & flat_NU).all(0).double().mean()),
        saturated_fraction=float(flat_NU.double().mean()),
        saturated_unit_fraction=float((flat_NU.double().mean(0) >= ALWAYS).double().mean()),
        input_quantiles=tuple(float(value) for value in np.quantile(sample, QUANTILES)),
        slope_rms=float(np.sqrt(np.mean(np.square(slope)))),
    )


def _by_unit(values: Tensor, axis: int) -> Tensor:
    if values.ndim == 0:
        return values.reshape(1, 1)
    return values.movedim(axis, -1).reshape(-1, values.shape[axis])
