"""AUTOTRAINER's monitor (Zhang et al., ICSE 2021), with the defaults of its code.

Source: github.com/shiningrain/AUTOTRAINER, AutoTrainer/utils/monitor.py. It needs the accuracy of a classification; gradients are
those of the kernels, looked at from 30 % of the training on, and only where the accuracy is below the wanted one.
"""

from __future__ import annotations

import itertools
import math

from photic.lab.rivals.course import Course

NAMES: dict[str, tuple[str, ...]] = {
    "vanish": ("vanishing-gradient",),
    "explode": ("exploding-gradient", "non-finite", "learning-rate-too-large", "weights-too-large"),
    "relu": ("dead-units", "dying-output"),
    "unstable": ("learning-rate-too-large",),
    "not_converge": ("stalled-training", "learning-rate-too-small"),
}


def judge(
    course: Course, *, wanted: float = 0.6, low: float = 1e-3, low_first: float = 1e-4, high: float = 70.0, dying: float = 0.7,
    gap: float = 0.03, share: float = 0.2, slow: float = 0.01,
) -> set[str] | None:  # fmt: skip
    """Return the symptoms; None where the task has no accuracy."""
    if not course.classes:
        return None
    if any(not math.isfinite(loss) or loss >= 1e5 for loss in course.losses):
        return {"explode"}
    accuracy = course.accuracy or [0.0]
    crawling = max((b - a for a, b in itertools.pairwise(accuracy)), default=0.0) < slow
    if max(accuracy) >= wanted and not crawling:
        return {"unstable"} if _unstable(accuracy, gap, share) else set()
    for moment in course.moments:
        if moment.step < 0.3 * course.steps:
            continue
        kernels = [gradient for gradient in moment.gradients.values() if gradient.ndim > 1]
        if not kernels:
            continue
        zeros = sum(int((g == 0).sum()) for g in moment.gradients.values()) / sum(
            g.numel() for g in moment.gradients.values()
        )
        first, last = float(kernels[0].double().norm()), float(kernels[-1].double().norm())
        ratio = first / last if last > 0.0 else math.nan
        if zeros >= dying:
            return {"relu"}
        if ratio > high:
            return {"explode"}
        if ratio < low and first < low_first:
            return {"vanish"}
    return {"not_converge"} if crawling else set()


def _unstable(accuracy: list[float], gap: float, share: float) -> bool:
    tops = [b for a, b, c in zip(accuracy, accuracy[1:], accuracy[2:]) if b >= a and b >= c]
    dips = [b for a, b, c in zip(accuracy, accuracy[1:], accuracy[2:]) if b <= a and b <= c]
    return sum(top - dip >= gap for top, dip in zip(tops, dips)) >= share * len(accuracy)
