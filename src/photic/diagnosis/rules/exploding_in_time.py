"""Exploding in time: the gradient grows on its way back through a sequence."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import in_time, weightless
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("pascanu2013",))
def exploding_in_time(graph: Graph, *, growth: float = 1e3, critical: float = 1e6) -> Finding | None:
    """The gradient at the first input of a recurrent layer is more than `growth` times that at the last one.

    Signs: |dL/dx_1| above 1000 times |dL/dx_T| in a fused RNN, LSTM or GRU, or the same of a loop that was written out, with weights
    that each step uses, or without: a memory times a gate above 1, a sign turned in a simulation.

    Why it matters: a step that suits the late inputs is far too long for what the early ones ask for; the loss jumps,
    or becomes nan.

    False alarms: a task that reads its answer at the beginning (a bidirectional layer, a loss at the first outputs) has
    its largest gradient there; only growth against the direction of time counts, and bidirectional layers are left out.
    """
    growing: list[tuple[int, float, int]] = []
    for index, norms in in_time(graph):
        names = [parameter.name for parameter, _ in graph.parameters.get(index, [])]
        if norms[-1] > 0.0 and norms[0] > growth * norms[-1] and not any(name.endswith("_reverse") for name in names):
            growing.append((index, norms[0] / norms[-1], len(norms)))
    by_weights = bool(growing)
    if not by_weights:
        growing = [
            (index, norms[0] / norms[-1], len(norms))
            for index, norms in weightless(graph)
            if norms[-1] > 0.0 and norms[0] > growth * norms[-1]
        ]
    if not growing:
        return None
    index, ratio, steps = max(growing, key=lambda item: item[1])
    site = graph.site(index)
    each = ratio ** (1.0 / (steps - 1))
    return Finding(
        problem="exploding-in-time",
        severity="critical" if ratio > critical else "warning",
        sites=tuple(graph.site(item[0]).name for item in growing),
        where=site.where,
        evidence=(
            Evidence("gradient at the first time step, relative to the last", ratio, "ratio"),
            Evidence("time steps", float(steps), "steps"),
            Evidence("typical factor per time step", each, "ratio"),
        ),
        reason=(
            f"On its way back through {steps} time steps of {site.name or 'the layer'} the gradient grows {number(ratio)} times, "
            f"{number(each)} per step: "
            + ("the recurrent weights are too large." if by_weights else "each multiplies the state by more than 1.")
        ),
        advice='Make the recurrent weights orthogonal (`photic.initialise(model, "orthogonal_recurrence")`), clip the '
        "gradient's norm, or use a gated layer."
        if by_weights
        else "Look at what each step multiplies the state by, and at its signs: a gate or a decay lies between 0 and 1, a friction is taken off.",
        confidence=0.9,
        sources=("pascanu2013",),
    )
