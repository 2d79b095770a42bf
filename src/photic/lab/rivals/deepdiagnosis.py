"""DeepDiagnosis (Wardat et al., ICSE 2022), with the thresholds of its code.

Source: github.com/DeepDiagnosis/ICSE2022, callback/callbacks.py. Left out: the range of the output against the target's, which asks
for the name of a Keras loss, and a loss or accuracy that no longer changes over epochs.
"""

from __future__ import annotations

import math

import torch

from photic.lab.rivals.course import Course, Moment

NAMES: dict[str, tuple[str, ...]] = {
    "numerical error": ("non-finite",),
    "vanishing gradient": ("vanishing-gradient", "gradient-underflow"),
    "dead node": ("dead-units", "dying-output"),
    "saturated activation": ("saturated-activation",),
    "out of range variance of weights": ("weights-too-small", "weights-too-large", "zero-times-zero"),
    "learning rate": ("learning-rate-too-large", "learning-rate-too-small", "stalled-training"),
}


def judge(course: Course) -> set[str]:
    """Return the symptoms that show in a training."""
    found = {name for moment in course.moments for name in _at(moment)}
    if any(not math.isfinite(loss) for loss in course.losses):
        found.add("numerical error")
    if not 1e-5 <= course.rate <= 1e-1:
        found.add("learning rate")
    return found


def _at(moment: Moment) -> set[str]:
    found: set[str] = set()
    for gradient in moment.gradients.values():
        if float(gradient.double().abs().mean()) < 1e-7:
            found.add("vanishing gradient")
    for weight in moment.weights.values():
        if weight.ndim > 1 and not 1e-5 <= float(weight.double().var()) <= 10.0:
            found.add("out of range variance of weights")
    for passed in moment.passed.values():
        if not bool(torch.isfinite(passed.made).all()):
            found.add("numerical error")
        elif passed.kind == "relu" and float((passed.made <= 0).double().mean()) >= 0.7:
            found.add("dead node")
        elif passed.kind in ("sigmoid", "tanh") and float((passed.given.abs() >= 5.0).double().mean()) > 0.5:
            found.add("saturated activation")
    return found
