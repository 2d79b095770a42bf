"""Choices: what argmax or a comparison decides keeps its value, and what decided gets the gradient of a softmax or a sigmoid."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photic.probes.calls import Call

OF_OWN = ("getitem", "gather", "take_along_dim")  # they take one of an example's own numbers


def soft_comparison(call: Call) -> Any:
    """0 or 1, with the gradient of a logistic sigmoid of the difference."""
    soft = torch.sigmoid(_difference(call))
    return call.run().to(soft.dtype) + (soft - soft.detach())


def _difference(call: Call) -> Tensor:
    """How far what is compared lies on the side that makes the comparison true."""
    difference: Tensor = call.args[0] - call.args[1]
    return difference if call.operation in ("gt", "ge") else -difference


class Choice:
    """One call decides, another takes what was decided: a row of a table, a one of many, or one of two numbers.

    `argmax`, or `max` and `topk` with the place that they give, lends the gradient of the softmax of its scores, `argmin` that of what is
    taken from 0, a comparison that of the sigmoid of its difference.
    """

    def __init__(self) -> None:
        self.scores: Tensor | None = None

    def enter(self, call: Call) -> Any:
        """Keep what decides."""
        if call.operation in ("argmin", "min"):
            self.scores = _along(-call.args[0], call)
        else:
            self.scores = (
                _along(call.args[0], call) if call.operation in ("argmax", "max", "topk") else _difference(call)
            )
        return call.run()

    def leave(self, call: Call) -> Any:
        """Return what was decided, with the gradient."""
        value: Tensor = call.run()
        scores, self.scores = self.scores, None
        soft = None if scores is None else _soft(call, scores)
        if soft is None or soft.numel() != value.numel():
            return value
        return value.to(soft.dtype) + (soft - soft.detach()).reshape(value.shape)


def _soft(call: Call, scores: Tensor) -> Tensor | None:
    """What would be taken if all were taken in the share of their scores."""
    if call.operation == "where":
        yes, no = call.args[1], call.args[2]
        return no + (yes - no) * torch.sigmoid(scores)
    if call.operation == "one_hot":
        return scores.softmax(-1)
    if call.operation in OF_OWN:
        return _of_own(call, scores)
    table: Any = next((item for item in call.args if isinstance(item, nn.Parameter)), None)
    if table is None or scores.shape[-1] != table.shape[0]:
        return None
    return F.linear(scores.softmax(-1), table.T)


def _along(scores: Tensor, call: Call) -> Tensor:
    """Return the scores with the axis last along which one is chosen; as they are where that is not said."""
    axis = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 and call.operation != "topk" else -1)
    return scores.movedim(axis, -1) if isinstance(axis, int) and scores.ndim > 0 else scores


def _of_own(call: Call, scores: Tensor) -> Tensor | None:
    """What each example would take of its own numbers [examples, choices, ...]; None where scores and numbers are otherwise laid out."""
    numbers = call.args[0]
    if scores.ndim != 2 or not numbers.is_floating_point() or numbers.shape[:2] != scores.shape:
        return None
    shares = scores.softmax(1).reshape(*scores.shape, *[1] * (numbers.ndim - 2))
    return (shares * numbers).sum(1)
