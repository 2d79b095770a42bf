"""Mixing: whether answers go with their examples: where a batch comes in another order, they come in that order too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from photic.probes import batches
from photic.probes.calls import tensors_in
from photic.probes.generators import seed_torch
from photic.probes.untouched import untouched

FEWEST = 8  # examples
_COMPARED = 64  # answers are looked for among those of all examples
_SAME = 1e-4  # of an answer's size: a product of another order of rows rounds otherwise


@dataclass(frozen=True)
class Order:
    """What another order of a batch shows.

    Attributes:
        mixed: how far the answers to it are from the answers in that order: 0 not at all, 1 as far as two examples'; None unknown.
        moved: share of answers that are another example's; None where some are nobody's.
    """

    mixed: float | None = None
    moved: float | None = None


def mixing(model: nn.Module, batch: Any) -> Order:
    """Return how the answers to a batch in another order go with its examples.

    In evaluation. What an answer takes from the whole batch (its mean, the examples it is compared with) does not depend on their
    order, and scores of all pairs change their columns as they change their rows; what takes the batch for time, cuts it by `view`
    or sorts its rows does. Nothing is told where the model holds a row for each example (a graph, whose nodes they are), where batch
    and output do not go by examples, where the same input gives two answers, or all give one.
    """
    inputs, _ = batches.split(batch)
    lengths = {tensor.shape[0] if tensor.ndim else 0 for tensor in tensors_in(inputs)}
    count = lengths.pop() if len(lengths) == 1 else 0
    if count < FEWEST or any(tensor.shape[:1] == (count,) for tensor in _held(model)):
        return Order()
    try:
        with untouched(model), torch.no_grad():
            model.eval()
            return _asked(model, inputs, count)
    except Exception:  # a model that cannot be asked this way is not accused
        return Order()


def _held(model: nn.Module) -> list[Tensor]:
    """Return the tensors that the model holds and does not train."""
    kept = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return [*kept, *model.buffers()]


def _asked(model: nn.Module, inputs: Any, count: int) -> Order:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    plain = torch.arange(count)
    asked = enumerate((plain, plain, order))
    before, again, other = (_answer(model, inputs, places, seed) for seed, places in asked)
    if before is None or again is None or other is None or not torch.equal(before, again):
        return Order()
    between = float((before - before.mean(0)).norm()) * 2.0**0.5
    wanted = min(_in_order(before, order), key=lambda way: float((other - way).norm()))
    away = float((other - wanted).norm())
    if not between > 1e-5 * float(before.norm()) or not math.isfinite(away):
        return Order()
    near = _SAME * float(before.abs().max())
    of_others = torch.cdist(other[:_COMPARED], before, p=math.inf).amin(1) <= near
    own = (other - wanted).abs().amax(1)[:_COMPARED] <= near
    return Order(away / between, float((~own).double().mean()) if bool(of_others.all()) else None)


def _in_order(before: Tensor, order: Tensor) -> list[Tensor]:
    """Return the answers in another order; where each may hold a number for every example, as scores of all pairs do, those too."""
    count, rows = len(before), before[order]
    if rows.shape[1] % count:
        return [rows]
    each = rows.shape[1] // count
    return [
        rows,
        rows.view(count, count, each)[:, order].flatten(1),
        rows.view(count, each, count)[:, :, order].flatten(1),
    ]


def _answer(model: nn.Module, inputs: Any, places: Tensor, seed: int) -> Tensor | None:
    """Return the answers, one row each."""
    seed_torch(seed)
    found = batches.call(model, _rows(inputs, places))
    output = next((t for t in tensors_in(found) if t.is_floating_point()), None)
    if output is None or not output.ndim or len(output) != len(places):
        return None
    return output.detach().double().cpu().reshape(len(output), -1)


def _rows(value: Any, places: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value[places.to(value.device)]
    if isinstance(value, (list, tuple)):
        return type(value)(_rows(item, places) for item in value)  # pyright: ignore
    if isinstance(value, dict):
        return {key: _rows(item, places) for key, item in value.items()}  # pyright: ignore
    return value
