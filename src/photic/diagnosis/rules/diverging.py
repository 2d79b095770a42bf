"""Diverging: the loss climbs from the first steps on."""

from __future__ import annotations

import itertools
import math

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import uphill
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("cs231n",))
def diverging(
    graph: Graph, training: Training | None, *, growth: float = 1.5, along: float = 0.5, fewest: int = 8
) -> Finding | None:
    """The steps go uphill, or the loss grows steadily to more than `growth` times what it was.

    Signs: the update of most weight matrices points along the gradient instead of against it (cosine above `along`), and
    the loss does not fall; or all losses of the second half lie above those of the first half, and the last are `growth`
    times the first.

    Why it matters: an optimizer that climbs (`maximize=True`, a loss with the wrong sign) makes everything worse as well as
    it can; a loss that grows from step to step ends in infinity.

    False alarms: losses of a game or a policy may grow, and maximising is sometimes meant: then the loss says so by falling
    below 0. Where no optimizer was given the steps were ours.
    """
    if training is None or graph.run.facts.get("optimizer") == "assumed":
        return None
    finite = list(itertools.takewhile(math.isfinite, training.losses))
    up, known = uphill(graph, along)
    if 2 * up > known and finite and finite[-1] >= finite[0] > 0.0:
        reason = (
            f"The step points uphill: along the gradient, not against it, in {up} of {known} weight matrices, and the loss goes "
            f"from {number(finite[0])} to {number(finite[-1])}."
        )
        advice = "Descend: take `maximize=True` away, or give the loss the other sign."
        return _finding(
            reason, advice, Evidence("weight matrices whose step points uphill", float(up), "matrices"), 0.97
        )
    half = len(finite) // 2
    if len(finite) < fewest or not finite[0] > 0.0 or not finite[-1] > growth * finite[0]:
        return None
    if min(finite[half:]) <= max(finite[:half]) or finite[-1] < max(finite):
        return None
    reason = (
        f"The loss grows from step to step, from {number(finite[0])} to {number(finite[-1])} in {len(finite)} steps."
    )
    advice = "Lower the learning rate; it lies above twice the inverse of the largest curvature."
    return _finding(reason, advice, Evidence("last loss over the first", finite[-1] / finite[0], "ratio"), 0.8)


def _finding(reason: str, advice: str, evidence: Evidence, confidence: float) -> Finding:
    return Finding(
        problem="diverging",
        severity="critical",
        sites=(),
        where="",
        evidence=(evidence,),
        reason=reason,
        advice=advice,
        confidence=confidence,
        sources=("cs231n",),
    )
