"""Never zeroed gradients: every step adds the gradients of all steps before it."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.registry import rule
from photic.diagnosis.words import percent
from photic.records.findings import Evidence, Finding


@rule(sources=("paszke2017",))
def never_zeroed_gradients(graph: Graph, *, share: float = 0.9, part: float = 0.25) -> Finding | None:
    """When the first backward of a step begins, the gradients of the step before are still there.

    Signs: at least `share` of the parameters that the optimizer owns hold a gradient other than 0 when the first
    backward after an optimizer step starts; or `part` of them at every reading, as where only some groups are cleared.

    Why it matters: `backward` adds to `.grad`. Without `zero_grad` each step follows the sum of all gradients so far,
    a momentum that never fades: the loss swings ever wider.

    False alarms: accumulation over several backwards is none, as it begins with zeroed gradients; the first step has
    nothing to leave over; gradients that belong to another optimizer (the other half of a GAN) are not counted.
    """
    seen = [step.leftover_share for step in graph.run.steps if step.leftover_share is not None]
    found = max(seen, default=0.0)
    always = min(seen[1:] or seen, default=0.0)  # before the first step there is nothing to leave over
    if found < share and always < part:
        return None
    found = found if found >= share else always
    return Finding(
        problem="never-zeroed-gradients",
        severity="critical",
        sites=(),
        where="",
        evidence=(Evidence("parameters that still hold the gradient of the step before", found, "share"),),
        reason=(
            f"When the backward pass begins, {percent(found)} of the parameters still hold the gradient of the step before, "
            "and backward adds to it: every step follows the sum of all gradients so far."
        ),
        advice="Call `optimizer.zero_grad()` once in every step, before `loss.backward()`.",
        confidence=0.97,
        sources=("paszke2017",),
    )
