"""Unscaled target: a regression whose target is far larger than anything the network gives at first."""

from __future__ import annotations

import math

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding

_DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "sub")


@rule(sources=("lecun1998",))
def unscaled_target(
    graph: Graph, training: Training | None, *, large: float = 30.0, beyond: float = 10.0
) -> Finding | None:
    """The target of a regression is large beside 1 and beside the outputs, and the first steps get nowhere or explode.

    Signs: numbers with a root mean square above `large`, and above `beyond` times that of the output, are compared with the
    output by a squared or absolute error; and the loss does not fall by a tenth in the steps taken, or stops being finite.

    Why it matters: an adaptive optimizer moves each weight by its rate per step, and needs thousands of steps to reach a
    target in the thousands; gradient descent gets gradients as large as the error, and its first step destroys the network.

    False alarms: a target that is large and is reached (a small network, a high rate) is no problem: the loss falls.
    """
    for site in graph.run.sites:
        target = graph.reading(site.order).given
        if site.phase != "loss" or site.operation not in _DISTANCES or target is None or target.rms <= large:
            continue
        outputs = [graph.reading(source).signal for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        size = max((signal.rms for signal in outputs if signal is not None), default=math.inf)
        if target.rms <= beyond * size or training is None or learns(training):
            continue
        broken = not math.isfinite(training.last) or training.last > 2.0 * training.first
        return Finding(
            problem="unscaled-target",
            severity="critical" if broken else "warning",
            sites=(),
            where="",
            evidence=(
                Evidence("root mean square of the target", target.rms, "value"),
                Evidence("mean of the target", target.mean, "value"),
                Evidence("root mean square of the output", size, "value"),
            ),
            reason=(
                f"The target has mean {number(target.mean)} and root mean square {number(target.rms)}, the network gives "
                f"{number(size)}: "
                + (
                    "the errors are so large that the first steps make it worse."
                    if broken
                    else f"after {training.steps} steps the loss is still {number(training.last / training.first)} of the first."
                )
            ),
            advice="Standardise the target with the mean and deviation of the training set, and undo it when predicting.",
            confidence=0.85,
            sources=("lecun1998",),
        )
    return None
