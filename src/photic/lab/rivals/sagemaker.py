"""The built-in rules of Amazon SageMaker Debugger, with their documented defaults.

Source: Amazon SageMaker developer guide, "List of Debugger built-in rules" (docs.aws.amazon.com/sagemaker, debugger-built-in-rules).
Left out: rules without a default (TensorVariance), about validation data (Overfit) or images alone (CheckInputImages). Read
generously: a loss is the mean of ten steps, not of one batch, and what is said of weights is asked of matrices, not of biases at 0.
"""

from __future__ import annotations

import itertools

import torch

from photic.lab.rivals.course import Course, Moment, per_unit

NAMES: dict[str, tuple[str, ...]] = {
    "VanishingGradient": ("vanishing-gradient", "gradient-underflow"),
    "ExplodingTensor": ("non-finite", "exploding-gradient"),
    "DeadRelu": ("dead-units", "dying-output"),
    "SaturatedActivation": ("saturated-activation",),
    "PoorWeightInitialization": ("weights-too-small", "weights-too-large", "zero-times-zero"),
    "WeightUpdateRatio": ("learning-rate-too-large", "learning-rate-too-small", "stalled-training"),
    "AllZero": ("dead-units", "zero-times-zero"),
    "UnchangedTensor": ("stalled-training", "severed-gradient", "unowned-parameters"),
    "LossNotDecreasing": ("stalled-training", "diverging"),
}  # the rule, and our words for what it speaks of
_FLAT = {"tanh": (-9.4999, 9.4999), "sigmoid": (-23.0, 16.99999)}


def judge(course: Course) -> set[str]:
    """Return the rules that fire in a training."""
    found = {name for moment in course.moments for name in _at(moment)}
    if any(not torch.isfinite(torch.tensor(loss)) for loss in course.losses):
        found.add("ExplodingTensor")
    first = course.moments[:10]
    if _poor_start(first, course.losses):
        found.add("PoorWeightInitialization")
    if _unchanged(first):
        found.add("UnchangedTensor")
    windows = [sum(course.losses[start : start + 10]) / 10 for start in range(0, len(course.losses) - 9, 10)]
    if any(late > 0.999 * early for early, late in itertools.pairwise(windows)):
        found.add("LossNotDecreasing")
    return found


def _at(moment: Moment) -> set[str]:
    found: set[str] = set()
    for gradient in moment.gradients.values():
        if not bool(gradient.isfinite().all()):
            found.add("ExplodingTensor")
        elif float(gradient.double().abs().mean()) < 1e-7:
            found.add("VanishingGradient")
        if not bool(gradient.any()):
            found.add("AllZero")
    matrices = [ratio for name, ratio in moment.moved.items() if moment.weights[name].ndim > 1]
    if any(ratio > 10.0 or ratio < 1e-8 for ratio in matrices):
        found.add("WeightUpdateRatio")
    for passed in moment.passed.values():
        if passed.kind == "relu":
            active = (per_unit(passed.made) > 0).double().mean(0)
            if float((active < 0.01).double().mean()) > 0.5:
                found.add("DeadRelu")
        elif passed.kind in _FLAT:
            low, high = _FLAT[passed.kind]
            units = per_unit(passed.given)
            inside = ((units > low) & (units < high)).double().mean(0)
            if float((inside < 0.01).double().mean()) > 0.5:
                found.add("SaturatedActivation")
    return found


def _poor_start(first: list[Moment], losses: list[float]) -> bool:
    if not first:
        return False
    variances = [
        float(p.given.double().var()) for p in first[0].passed.values() if p.kind in ("relu", "tanh", "sigmoid")
    ]
    spread = len(variances) > 1 and max(variances) > 10.0 * min(variances)
    narrow = any(
        float(torch.quantile(g.double().flatten()[:1_000_000], torch.tensor([0.05, 0.95], dtype=torch.float64)).diff())
        < 0.001
        for g in first[0].gradients.values()
        if g.ndim > 1 and bool(g.isfinite().all())
    )
    best, waited = float("inf"), 0
    for loss in losses[:10]:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited >= 5:
            return True
    return spread or narrow


def _unchanged(first: list[Moment]) -> bool:
    return len(first) >= 3 and any(
        all(torch.allclose(first[0].weights[name], later.weights[name], rtol=1e-5, atol=1e-8) for later in first[1:3])
        for name, weight in first[0].weights.items()
        if weight.ndim > 1
    )
