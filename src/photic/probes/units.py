"""How the units of an activation behave over the batch: dead, saturated, where they sit on the curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from photic.activations import find
from photic.probes.shards import local
from photic.records.runs import UnitFacts

SAMPLE = 4_096  # elements on which slope and quantiles are computed; larger tensors are read with a stride
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
ALWAYS = 0.99  # share of the batch on which a saturated unit must be flat


def unit_facts(
    operation: str,
    settings: Mapping[str, float | int | str],
    before: Tensor,
    after: Tensor,
    *,
    axis: int,
    dead: Callable[[Tensor], None] | None = None,
) -> UnitFacts | None:
    """Return what the units did; None for an operation that is no known activation, or an empty tensor.

    Args:
        before: pre-activation, before an in-place operation overwrites it.
        after: output, of the same shape.
        axis: the axis that counts the units.
        dead: given a mask of the units that are dead on the whole batch.
    """
    activation = find(operation, settings)
    before, after = local(before), local(after)  # of what is cut over ranks, this rank's part
    if activation is None or before.numel() == 0 or before.shape != after.shape or before.is_complex():
        return None
    units = before.shape[axis] if before.ndim else 1
    z_NU = _by_unit(before.detach(), axis)
    y_NU = _by_unit(after.detach(), axis)
    flat_NU = torch.zeros_like(z_NU, dtype=torch.bool)
    for low, high in activation.flat_intervals:
        flat_NU |= (z_NU >= low) & (z_NU <= high)
    rows = max(z_NU.shape[0], 1)
    flat_U = torch.count_nonzero(flat_NU, dim=0)
    dead_U = torch.count_nonzero(flat_NU & (y_NU == 0), dim=0)
    sample = z_NU.reshape(-1)[:: max(1, z_NU.numel() // SAMPLE)].to(torch.float64).cpu().resolve_neg().numpy()
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return None
    slope = activation.slope(sample)
    if dead is not None:
        dead((dead_U == rows).cpu())
    return UnitFacts(
        units=units,
        dead_fraction=int(torch.count_nonzero(dead_U == rows)) / units,
        saturated_fraction=int(flat_U.sum()) / z_NU.numel(),
        saturated_unit_fraction=int(torch.count_nonzero(flat_U >= ALWAYS * rows)) / units,
        input_quantiles=tuple(float(value) for value in np.quantile(sample, QUANTILES)),
        slope_rms=float(np.sqrt(np.mean(np.square(slope)))),
    )


def _by_unit(values: Tensor, axis: int) -> Tensor:
    if values.ndim == 0:
        return values.reshape(1, 1)
    return values.movedim(axis, -1).reshape(-1, values.shape[axis])
