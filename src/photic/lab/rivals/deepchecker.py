"""TheDeepChecker (Ben Braiek and Khomh, TOSEM 2023): its checks of gradients, steps, units and first weights.

Source: github.com/thedeepchecker/thedeepchecker, settings.yaml, and arXiv 2204.00694. Checks begin at iteration 10, one in ten. Left out: overfitting
one batch, augmentation, labels and data distributions, which ask for more than a training.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from photic.lab.rivals.course import Course, Moment, per_unit

NAMES: dict[str, tuple[str, ...]] = {
    "vanishing gradient": ("vanishing-gradient", "gradient-underflow"),
    "exploding gradient": ("exploding-gradient", "non-finite"),
    "untrained or slow parameters": (
        "stalled-training",
        "learning-rate-too-small",
        "severed-gradient",
        "unowned-parameters",
        "frozen-by-epsilon",
    ),
    "fast parameters": ("learning-rate-too-large",),
    "dead layer": ("dead-units", "dying-output"),
    "saturated layer": ("saturated-activation",),
    "activations out of range": ("weights-too-small", "weights-too-large", "missing-normalisation"),
    "loss is not finite": ("non-finite",),
}


def judge(course: Course) -> set[str]:
    """Return the checks that fail in a training."""
    checked = [moment for moment in course.moments if moment.step >= 10]
    found = {name for moment in checked for name in _at(moment)}
    if any(not math.isfinite(loss) for loss in course.losses):
        found.add("loss is not finite")
    for name in {name for moment in checked for name in moment.gradients}:
        sizes = [float(m.gradients[name].double().abs().mean()) for m in checked if name in m.gradients]
        ratios = [later / earlier if earlier > 0.0 else 1.0 for earlier, later in itertools.pairwise(sizes)]
        windows = [ratios[start : start + 4] for start in range(len(ratios) - 3)]
        if any(size < 1e-6 for size in sizes) or any(max(window) <= 0.5 for window in windows):
            found.add("vanishing gradient")
        if any(size > 1e6 for size in sizes) or any(min(window) >= 2.0 for window in windows):
            found.add("exploding gradient")
    return found


def _at(moment: Moment) -> set[str]:
    found: set[str] = set()
    for name, ratio in moment.moved.items():
        if moment.weights[name].ndim > 1:
            if ratio < 1e-4:
                found.add("untrained or slow parameters")
            elif ratio > 1e-1:
                found.add("fast parameters")
    for passed in moment.passed.values():
        if passed.kind not in ("relu", "sigmoid", "tanh") or not bool(passed.made.isfinite().all()):
            continue
        units = per_unit(passed.made).double()
        if passed.kind == "relu":
            if float((torch.quantile(units[:4096].abs(), 0.95, dim=0) < 1e-5).double().mean()) > 0.5:
                found.add("dead layer")
        elif float((_saturation(units, passed.kind) > 0.85).double().mean()) > 0.5:
            found.add("saturated layer")
        if not 0.5 <= float(units.std()) <= 2.0:
            found.add("activations out of range")
    return found


def _saturation(units: Tensor, kind: str, bins: int = 10) -> Tensor:
    """Return rho of each unit (Rakitianskaia and Engelbrecht 2015): mean size of the bins' means on the scale of -1 to 1."""
    scaled = units if kind == "tanh" else 2.0 * units - 1.0
    index = ((scaled + 1.0) / 2.0 * bins).long().clamp(0, bins - 1)
    sums = torch.zeros(bins, units.shape[1], dtype=scaled.dtype).scatter_add_(0, index, scaled)
    return sums.abs().sum(0) / len(units)
