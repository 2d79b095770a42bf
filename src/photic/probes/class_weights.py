"""Class weights: how what a class counts for, in a loss over classes, goes with how often it comes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call

_FEWEST = 3  # classes: a line goes through any two
_MOST = 100_000  # targets that are counted
_APART = 4.0  # the most frequent class comes so many times as often as the least, where weights are told from gradients


def weights_along_counts(call: Call) -> dict[str, float]:
    """Return the slope of the logarithm of the class weights over that of the counts in the batch, and their correlation.

    1 over the count is a slope of -1. Empty without weights, with fewer than three classes that come and count, and where all
    weights or all counts are the same.
    """
    if call.operation not in ("cross_entropy", "nll_loss"):
        return {}
    given = call.kwargs.get("weight", call.args[2] if len(call.args) > 2 else None)
    target = call.kwargs.get("target", call.args[1] if len(call.args) > 1 else None)
    if not isinstance(given, Tensor) or not isinstance(target, Tensor) or given.ndim != 1 or target.is_floating_point():
        return {}
    with torch._C.DisableTorchFunction():  # what we compute here is no call of the network
        classes = target.detach().flatten()
        counts = classes[(classes >= 0) & (classes < len(given))].bincount(minlength=len(given)).double()
        known = (counts > 0) & (given > 0)
        if int(known.sum()) < _FEWEST:
            return {}
        weight, count = given.detach().double()[known].log(), counts[known].log()
        weight, count = weight - weight.mean(), count - count.mean()
        along, across, within = float(weight @ count), float(count @ count), float(weight @ weight)
    if across < 1e-12 or within < 1e-12:
        return {}
    return {"weight_slope": along / across, "weight_correlation": along / (across * within) ** 0.5}


def pull_along_counts(gradient: Tensor, targets: Any) -> tuple[float, float] | None:
    """Return the same of the gradient that examples of a class give to scores that are all 0: (power, correlation).

    There all classes are alike to a cross-entropy, weighted or focal, so that only what the loss makes of the class tells. Classes lie
    along the axis that the targets have not. None where `uneven` says no.
    """
    axis = class_axis(gradient, targets)
    if axis is None or not uneven(gradient, targets):
        return None
    lengths, classes = torch.linalg.vector_norm(gradient, dim=axis).flatten().double(), targets.flatten()
    sums = torch.bincount(classes.clamp(min=0), lengths, minlength=gradient.shape[axis]).tolist()
    counts = _counts(targets, gradient.shape[axis])
    if int(targets.min()) < 0:
        return None  # what is left out would count for the first class
    both = [
        (math.log(count), math.log(pull / count))
        for count, pull in zip(counts, sums, strict=False)
        if count and pull > 0.0
    ]
    middle = [sum(values) / len(both) for values in zip(*both, strict=True)]
    away = [(count - middle[0], pull - middle[1]) for count, pull in both]
    along, across, within = (sum(v) for v in zip(*((c * p, c * c, p * p) for c, p in away), strict=True))
    return (along / across, along / (across * within) ** 0.5) if within > 1e-9 and across > 0.0 else None


def uneven(scores: Tensor, targets: Any) -> bool:
    """Whether the targets are classes of which one comes `_APART` times as often as another that comes."""
    axis = class_axis(scores, targets)
    counts = [] if axis is None else [count for count in _counts(targets, scores.shape[axis]) if count]
    return len(counts) > 1 and max(counts) >= _APART * min(counts)


def _counts(targets: Tensor, classes: int) -> list[int]:
    if targets.is_cuda or targets.numel() > _MOST:
        return []  # not worth to wait for
    given = targets.flatten()
    return torch.bincount(given[(given >= 0) & (given < classes)], minlength=classes).tolist()


def class_axis(scores: Tensor, targets: Any) -> int | None:
    """Return the axis of the scores along which classes lie: the one that the targets have not; None where these are no classes."""
    if not isinstance(targets, Tensor) or targets.dtype not in (torch.int64, torch.int32) or not targets.numel():
        return None
    found = (a for a in (1, scores.ndim - 1) if 0 < a < scores.ndim and _without(scores, a) == targets.shape)
    axis = next(found, None)
    return None if axis is None or scores.shape[axis] < 2 else axis


def _without(tensor: Tensor, axis: int) -> tuple[int, ...]:
    return (*tensor.shape[:axis], *tensor.shape[axis + 1 :])
