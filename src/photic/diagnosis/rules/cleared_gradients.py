"""Cleared gradients: the optimizer steps after the gradients were cleared."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.records.findings import Evidence, Finding


@rule(sources=("paszke2017",))
def cleared_gradients(graph: Graph, *, fewest: int = 2) -> Finding | None:
    """The backward pass makes gradients, and none of them is there when the optimizer steps.

    Signs: at every reading, `fewest` or more, each parameter that the optimizer holds and that got a gradient other than 0 in the
    backward pass has none, or one that is exactly 0, at the step. Seen by the watch alone.

    Why it matters: nothing is learned, and no error is raised: `zero_grad` stands between `backward` and `step`.

    False alarms: a step that a gradient scaler skips is no reading; one odd step among others does not count.
    """
    cleared = 0
    for step in graph.run.steps:
        held = [
            reading
            for parameter, reading in zip(graph.run.parameters, step.parameters, strict=True)
            if parameter.owned and parameter.trainable and reading.before_clipping
        ]
        if not held or any(r.gradient is not None and (r.gradient.rms > 0.0 or r.gradient.nonfinite) for r in held):
            return None
        cleared = len(held)
    if len(graph.run.steps) < fewest:
        return None
    return Finding(
        problem="cleared-gradients",
        severity="critical",
        sites=(),
        where="",
        evidence=(Evidence("parameters whose gradient is gone at the step", float(cleared), "tensors"),),
        reason=(
            f"All {cleared} parameters that got a gradient in the backward pass have none when the optimizer steps: they are cleared in "
            "between, so nothing moves."
        ),
        advice="Order: optimizer.zero_grad(), loss.backward(), optimizer.step().",
        confidence=0.97,
        sources=("paszke2017",),
    )
