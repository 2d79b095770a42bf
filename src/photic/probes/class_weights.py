"""Class weights: how what a class counts for, in a loss over classes, goes with how often it comes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from photic.probes.calls import Call

_FEWEST = 3  # classes: a line goes through any two
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
    along the axis that the targets have not. None where the targets are no classes, or come about equally often.
    """
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.dtype == torch.bool:
        return None
    axis = next((a for a in (1, gradient.ndim - 1) if _without(gradient, a) == targets.shape), None)
    if axis is None or gradient.shape[axis] < 2:
        return None
    lengths = torch.linalg.vector_norm(gradient.detach().double(), dim=axis).flatten()
    classes = targets.detach().flatten()
    inside = (classes >= 0) & (classes < gradient.shape[axis])
    lengths, classes = lengths[inside], classes[inside].long()
    counts = classes.bincount(minlength=gradient.shape[axis]).double()
    sums = torch.zeros_like(counts).index_add(0, classes, lengths)
    known = (counts > 0) & (sums > 0)
    if int(known.sum()) < 2 or float(counts[known].max()) < _APART * float(counts[known].min()):
        return None
    pull, count = (sums[known] / counts[known]).log(), counts[known].log()
    pull, count = pull - pull.mean(), count - count.mean()
    along, across, within = float(pull @ count), float(count @ count), float(pull @ pull)
    return (along / across, along / (across * within) ** 0.5) if within > 1e-12 else None


def _without(tensor: Tensor, axis: int) -> tuple[int, ...]:
    return (*tensor.shape[:axis], *tensor.shape[axis + 1 :]) if 0 <= axis < tensor.ndim else ()
