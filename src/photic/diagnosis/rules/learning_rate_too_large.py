"""Learning rate too large: the steps are long, and the loss climbs."""

from __future__ import annotations

import itertools
import math

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding


@rule(sources=("cs231n",))
def learning_rate_too_large(
    graph: Graph, training: Training | None, *, growth: float = 2.0, step: float = 0.05, fewest: int = 8
) -> Finding | None:
    """A step moves a layer by `step` of its size or more, and the loss ends `growth` times higher than it began.

    Signs: all losses of the last quarter (the last one, where nan follows) lie above `growth` times the first, while some
    weight matrix moves by at least 5 % in one step (about 0.1 % is usual).

    Why it matters: beyond twice the inverse of the largest curvature each step overshoots further than the last.

    False alarms: losses that may rise (a GAN's, a policy's) do so at small steps, and warm-up makes few long ones; both
    conditions are asked for. Where no optimizer was given the steps were ours, and it is information only.
    """
    if training is None or not training.losses[0] > 0.0:
        return None
    finite = list(itertools.takewhile(math.isfinite, training.losses))
    broken = len(finite) < training.steps
    if len(finite) < (2 if broken else fewest):
        return None
    end = finite[-1:] if broken else finite[-max(2, training.steps // 4) :]
    ratios = [
        r.update_ratio
        for index in range(len(graph.run.steps))
        for held in type(graph).of(graph.run, index).parameters.values()
        for p, r in held
        if len(p.shape) > 1 and r.update_ratio is not None and math.isfinite(r.update_ratio)
    ]
    if not ratios or max(ratios) < step or not all(value > growth * training.losses[0] for value in end):
        return None
    assumed = graph.run.facts.get("optimizer") == "assumed"
    return Finding(
        problem="learning-rate-too-large",
        severity="info" if assumed else "critical",
        sites=(),
        where="",
        evidence=(
            Evidence("largest relative update of a weight matrix in one step", max(ratios), "ratio"),
            Evidence("loss at the first step", training.losses[0], "loss"),
            Evidence("last loss, or the lowest of the last quarter", min(end), "loss"),
        ),
        reason=(
            f"One step moves a weight matrix by up to {percent(max(ratios))} of its size (about 0.1 % is usual), and the loss "
            f"rises from {number(training.losses[0])} to {number(finite[-1])}{', then nan' if broken else ''}: the steps overshoot"
            + (f"; the steps were made with {graph.run.optimizer}, as no optimizer was given." if assumed else ".")
        ),
        advice="Lower the learning rate by ten, warm it up, or clip the gradient's norm.",
        confidence=0.85,
        sources=("cs231n",),
    )
