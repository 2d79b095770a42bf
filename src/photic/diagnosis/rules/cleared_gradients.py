"""Cleared gradients: the backward pass makes gradients, and the optimizer finds none."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.records.findings import Evidence, Finding
from photic.records.runs import Run, Step


@rule(sources=("paszke2017",))
def cleared_gradients(graph: Graph, *, fewest: int = 2) -> Finding | None:
    """The backward pass makes gradients, and none of them is there when the optimizer steps.

    Signs: at every reading, `fewest` or more, each parameter that the optimizer holds and that got a gradient other than 0 in the
    backward pass has none, or one that is exactly 0, at the step. Or the error gradient arrives at the operations of such parameters
    and none of them was ever seen to get one: somebody takes them as they arrive. Seen by the watch alone.

    Why it matters: nothing is learned, and no error is raised: `zero_grad` stands between `backward` and `step`. Or an engine
    (DeepSpeed's, for one) keeps the gradients to itself, and what is read of the parameters says nothing.

    False alarms: a step that a gradient scaler skips is no reading; one odd step among others does not count.
    """
    cleared, elsewhere = 0, True
    for step in graph.run.steps:
        cleared, seen = _due(graph.run, step)
        elsewhere = elsewhere and not seen
        if not cleared:
            return None
    if len(graph.run.steps) < fewest:
        return None
    return Finding(
        problem="cleared-gradients",
        severity="critical",
        sites=(),
        where="",
        evidence=(Evidence("parameters whose gradient is gone at the step", float(cleared), "tensors"),),
        reason=(
            f"The error gradient arrives at the operations of {cleared} parameters, and none of them has a gradient when the optimizer "
            "steps: they are taken away as they arrive, as engines that keep them to themselves do (DeepSpeed)."
            if elsewhere
            else f"All {cleared} parameters that got a gradient in the backward pass have none when the optimizer steps: they are cleared "
            "in between, so nothing moves."
        ),
        advice=(
            "Nothing else that is said of gradients and updates here counts. Under an engine use `photic.check` on the bare model; in a "
            "loop of your own the order is optimizer.zero_grad(), loss.backward(), optimizer.step()."
            if elsewhere
            else "Order: optimizer.zero_grad(), loss.backward(), optimizer.step()."
        ),
        confidence=0.97,
        sources=("paszke2017",),
    )


def _due(run: Run, step: Step) -> tuple[int, bool]:
    """Return how many parameters should have a gradient at the step and have none, and whether the watch saw one of them come.

    0 if any has one. Where the optimizer holds none of the parameters, an engine gave it copies.
    """
    due, seen = 0, False
    copies = not any(parameter.owned for parameter in run.parameters)
    for parameter, reading in zip(run.parameters, step.parameters, strict=True):
        if not parameter.trainable or not (parameter.owned or copies):
            continue
        gradient = reading.gradient
        if gradient is not None and (gradient.rms > 0.0 or gradient.nonfinite):
            return 0, seen
        arrived = [step.sites[site].gradient for site in parameter.sites]
        came = bool(reading.before_clipping)
        if came or (gradient is None and any(g is not None and g.rms > 0.0 for g in arrived)):
            due, seen = due + 1, seen or (came and not copies)
    return due, seen
