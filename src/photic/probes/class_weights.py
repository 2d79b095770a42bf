"""Class weights: how the weights of a loss over classes go with how often each class comes."""

from __future__ import annotations

import torch
from torch import Tensor

from photic.probes.calls import Call

_FEWEST = 3  # classes: a line goes through any two


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
