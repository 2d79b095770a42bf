"""Useless clipping: a limit that the gradient's norm never comes near, or always far exceeds."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, matrix_updates
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("pascanu2013",))
def useless_clipping(
    graph: Graph, training: Training | None, *, far: float = 100.0, step: float = 1e-4
) -> Finding | None:
    """The limit of gradient clipping lies more than `far` times above the norm, or as far below it.

    Signs: `clip_grad_norm_` was called with a limit over 100 times the norm that it found, or under a hundredth of it.
    Where every step is cut so, no weight matrix moves by more than `step` of its size, and the loss does not fall, it is
    a warning; else information.

    Why it matters: a limit that is never reached protects from nothing, and often means that the gradients were clipped
    at the wrong place: before they were unscaled or added up. A limit that always bites makes every step equally long,
    whatever the gradient says; the limit is then the learning rate.

    False alarms: a limit is meant for the rare spike, so a norm of a tenth of it is as it should be, and early steps may
    exceed it. The watch asks for it in two audits in a row.
    """
    found = [
        (step.clip_limit, step.clip_norm)
        for step in graph.run.steps
        if step.clip_limit is not None and step.clip_norm is not None and step.clip_norm > 0.0
    ]
    if not found:
        return None
    limit, norm = found[-1]
    above = all(a > far * b for a, b in found)
    below = all(far * a < b for a, b in found)
    if not above and not below:
        return None
    if above:
        said = f"The limit of {number(limit)} is {number(limit / norm)} times the gradient's norm of {number(norm)}: it clips nothing"
        advice = "Set the limit to a few times the usual norm, and clip after unscaling and after the last backward of the step."
    else:
        said = (
            f"The gradient's norm of {number(norm)} is {number(norm / limit)} times the limit of {number(limit)}: every step is "
            "cut to the same length, and the limit acts as the learning rate"
        )
        advice = "Raise the limit to a few times the usual norm and lower the learning rate by as much, or find why the norm is so large."
    moved = [
        value for index in range(len(graph.run.steps)) for value in matrix_updates(type(graph).of(graph.run, index))
    ]
    starves = below and bool(moved) and max(moved) < step and training is not None and not learns(training)
    return Finding(
        problem="useless-clipping",
        severity="critical" if starves else "info",
        sites=(),
        where="",
        evidence=(Evidence("limit", limit, "norm"), Evidence("norm before clipping", norm, "norm")),
        reason=f"{said}.",
        advice=advice,
        confidence=0.8,
        sources=("pascanu2013",),
    )
