"""Row order: whether a model answers its examples in the order in which they came."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import batches
from photic.probes.untouched import untouched

_EXAMPLES = 64
_SAME = 1e-4  # of an answer's size: a product of another order of rows rounds otherwise


def moved_answers(model: nn.Module, batch: Any) -> float | None:
    """Return the share of examples whose answer comes in another place than theirs; None where that cannot be told.

    The batch is given as it is and with its rows the other way round, in evaluation. Every answer of the second pass must be
    one of the first, so that examples do not speak to each other; then it is in its own place or in another.
    """
    inputs, _ = batches.split(batch)
    if not isinstance(inputs, Tensor) or inputs.ndim < 1 or len(inputs) < 4:
        return None
    inputs = inputs.detach()[:_EXAMPLES]
    try:
        with untouched(model), torch.no_grad():
            model.eval()
            here, there = (_answers(model, rows) for rows in (inputs, inputs.flip(0)))
    except Exception:  # a model that cannot be asked this way is not accused
        return None
    return None if here is None or there is None else _moved(here, there.flip(0))


def _answers(model: nn.Module, inputs: Tensor) -> Tensor | None:
    torch.manual_seed(0)
    output = batches.call(model, inputs)
    if (
        not isinstance(output, Tensor)
        or not output.is_floating_point()
        or output.ndim < 1
        or len(output) != len(inputs)
    ):
        return None
    return output.double().flatten(1) if output.ndim > 1 else output.double()[:, None]


def _moved(here: Tensor, there: Tensor) -> float | None:
    """Return the share of rows of `there` that are not their own row of `here`, but another; None where some are no row of it."""
    if not bool(here.isfinite().all()) or not bool(there.isfinite().all()):
        return None
    near = _SAME * float(here.abs().max())
    apart = torch.cdist(there, here, p=float("inf"))
    own = apart.diagonal() <= near
    if bool((apart.amin(1) > near).any()):
        return None
    return float((~own).double().mean())
