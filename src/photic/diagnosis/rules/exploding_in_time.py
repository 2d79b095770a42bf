"""Exploding in time: the gradient grows on its way back through a sequence."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.growing_states import growing_states
from photic.diagnosis.loops import in_time, own_backwards, weightless
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding


@rule(sources=("pascanu2013",))
def exploding_in_time(
    graph: Graph, training: Training | None = None, *, growth: float = 1e3, critical: float = 1e6, worse: float = 5.0
) -> Finding | None:
    """The gradient at the first input of a recurrent layer is more than `growth` times that at the last one.

    Signs: |dL/dx_1| above 1000 times |dL/dx_T| in a fused RNN, LSTM or GRU, or the same of a loop that was written out, with weights
    that each step uses, or without: a memory times a gate above 1, a sign turned in a simulation. Or a function with a backward of the
    user's hands back so much more than it got, and more from time to time. Or the state of a loop grows `growth` times on its way up,
    by the root of that in the second half, and the first loss is `worse` times that of outputs which are all 0: the same factors
    multiply the gradient on its way back, also where flat curves take some of it away.

    Why it matters: a step that suits the late inputs is far too long for what the early ones ask for; the loss jumps,
    or becomes nan.

    False alarms: a task that reads its answer at the beginning (a bidirectional layer, a loss at the first outputs) has
    its largest gradient there; only growth against the direction of time counts, and bidirectional layers are left out. A state that
    grows and is divided by another that grows with it makes no loud output, nor does a count that a readout scales.
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
    own = own_backwards(graph, growth) if not growing else []
    growing = growing or [(index, norms[0] / norms[-1], len(norms)) for index, norms in own]
    if not growing:
        return _of_the_state(graph, training, growth, critical, worse)
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
            + (
                "the recurrent weights are too large."
                if by_weights
                else "its own backward multiplies it by more than 1 at each."
                if own
                else "each multiplies the state by more than 1."
            )
        ),
        advice='Make the recurrent weights orthogonal (`photic.initialise(model, "orthogonal_recurrence")`), clip the '
        "gradient's norm, or use a gated layer."
        if by_weights
        else "Look at what each step multiplies the state by, and at its signs: a gate or a decay lies between 0 and 1, a friction is taken off.",
        confidence=0.9,
        sources=("pascanu2013",),
    )


def _of_the_state(
    graph: Graph, training: Training | None, growth: float, critical: float, worse: float
) -> Finding | None:
    """The finding of a state that grows with time and makes the outputs louder than what is asked for."""
    known = (graph.run.neutral_loss, None if training is None else training.chance)
    ignorant = next((loss for loss in known if loss is not None), None)
    start = graph.first.loss
    if start is None or ignorant is None or not ignorant > 0.0 or not start > worse * ignorant:
        return None
    states = growing_states(graph, growth)
    if not states:
        return None
    index, sizes = max(states, key=lambda item: item[1][-1] / item[1][0])
    ratio, site = sizes[-1] / sizes[0], graph.site(index)
    each = ratio ** (1.0 / (len(sizes) - 1))
    return Finding(
        problem="exploding-in-time",
        severity="critical" if ratio > critical else "warning",
        sites=tuple(graph.site(item[0]).name for item in states),
        where=site.where,
        evidence=(
            Evidence("size of the state at the last time step, relative to the first", ratio, "ratio"),
            Evidence("time steps", float(len(sizes)), "steps"),
            Evidence("typical factor per time step", each, "ratio"),
        ),
        reason=(
            f"Over {len(sizes)} time steps of {site.name} the state grows {number(ratio)} times, {number(each)} per step, and the first loss is "
            f"{number(start)} where outputs of 0 give {number(ignorant)}: what multiplies the state multiplies the gradient on its way back."
        ),
        advice="Look at what each step multiplies the state by: a gate or a decay lies between 0 and 1, a dropout belongs on what is read of "
        "a memory, and exponential gates need a normaliser.",
        confidence=0.9,
        sources=("pascanu2013",),
    )
