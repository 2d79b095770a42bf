"""Learning rate too small: steps many times as long would still go downhill."""

from __future__ import annotations

import math

from photic.diagnosis.evidence import Training, chance
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding


@rule(sources=("cs231n", "lecun1998"))
def learning_rate_too_small(
    graph: Graph, training: Training | None, *, far: float = 30.0, straight: float = 0.5, slow: float = 0.005
) -> Finding | None:
    """The steps go the right way and are far too short: along the same way the loss still falls `far` times further on.

    Signs: the training steps lower the loss, by less than `slow` of it; ten times as far along the way that they took the gain
    is at least `straight` of tenfold, as first order says, and the lowest loss along it lies `far` times as far or further.

    Why it matters: a loss that falls in proportion to the distance says that curvature limits nothing yet: the rate could be
    many times higher. `dev.py bench rates` trains random networks at their rate and at 10 and 100 times that: of those that
    learn at their own, none gains so little in 20 steps and so evenly.

    False alarms: a rate that rises, or that a scheduler holds below its full height (warm-up), is silent, and so is a
    network whose loss is already half of that of outputs that are 0 (fine-tuning of what is learned, a resumed or
    converged run). Where that is not known, and where the steps were ours, it is information. If anything else is
    wrong, that is reported: a network whose lower layers get nothing also gains by longer steps.
    """
    run = graph.run
    if training is None or len(run.stretched) < 3 or learns(training) or "rate" in run.facts:
        return None
    start, own = run.stretched[0].loss, run.stretched[1].loss
    finite = [each for each in run.stretched if math.isfinite(each.loss)]
    best = min(finite, key=lambda each: each.loss)
    neutral = chance(run) or run.neutral_loss
    if neutral is not None and start < 0.5 * neutral:
        return None
    tenfold = next((start - each.loss for each in finite if each.multiple == 10.0), 0.0)
    if not 0.0 < start - own < slow * start or tenfold < 10.0 * straight * (start - own) or best.multiple < far:
        return None
    ours = run.facts.get("optimizer") == "assumed"
    return Finding(
        problem="learning-rate-too-small",
        severity="info" if ours or neutral is None else "warning",
        sites=(),
        where="",
        evidence=(
            Evidence("loss at the start, on the last batches", start, "loss"),
            Evidence("after the steps that were made", own, "loss"),
            Evidence("distance of the lowest loss, in lengths of those steps", best.multiple, "ratio"),
            Evidence("loss there", best.loss, "loss"),
        ),
        reason=(
            f"{training.steps} steps lower the loss by {percent((start - own) / start)}, from {number(start)}; {number(best.multiple)} times "
            f"as far along the same way it would be {number(best.loss)}: nothing but the length of the steps holds it back."
        ),
        advice="Raise the learning rate by ten, and again while the loss falls faster (a range test on a copy finds the limit).",
        confidence=0.8,
        sources=("cs231n", "lecun1998"),
    )
