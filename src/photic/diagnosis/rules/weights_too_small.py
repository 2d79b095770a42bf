"""Weights too small: an initialisation far below what the activation wants, so that signal and gradient fade."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, rescued
from photic.diagnosis.registry import rule
from photic.diagnosis.roles import activation_after, relu_like
from photic.diagnosis.scale import scales, typical
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding
from photic.records.profiles import Profile


@rule(sources=("he2015", "glorot2010"))
def weights_too_small(
    graph: Graph, profile: Profile, training: Training | None, *, below: float = 0.05, arrives: float = 5e-3
) -> Finding | None:
    """The weights are drawn so small that the signal fades on its way up and the gradient on its way down.

    Signs: fan_in * Var[w] of the hidden layers is less than `below` of what their activation wants (2 for ReLU: He; 1 for
    tanh: Xavier), and less than `arrives` of the gradient gets down to the lowest layer; under an
    adaptive optimizer so little that even it hardly starts.

    Why it matters: each layer multiplies signal and gradient by the root of that number. N(0, 0.01) in layers of 64 passes
    8 % per layer.

    False alarms: a last layer or a branch that starts at or near 0 is a good start, and so are small weights before a
    normalisation: neither counts. A network that is seen to learn is only told so (information).
    """
    found = scales(graph.first)
    layers, ratio = list(found), typical(found)
    if any(facts.distinct < 1e-6 for index in layers if (facts := graph.reading(index).weight) is not None):
        return None  # constant, not drawn: `rank-collapse`
    if len(layers) < 2 or ratio > below or profile.transport is None or profile.transport >= arrives:
        return None
    if rescued(graph, profile.transport):
        return None
    first = layers[0]
    facts = graph.reading(first).weight
    assert facts is not None
    operation = activation_after(graph, first)
    relu = relu_like(operation)
    wants = "He wants Var[w] = 2 / fan_in" if relu else "Xavier wants Var[w] = 1 / fan_in"
    return Finding(
        problem="weights-too-small",
        severity="info" if learns(training) else "critical",
        sites=tuple(graph.site(index).name for index in layers),
        where=graph.site(first).where,
        evidence=(
            Evidence("fan_in * Var[w] at the first such layer", facts.row_square_sum, "ratio"),
            Evidence("found over wanted, mean of the layers", ratio, "ratio"),
            Evidence("gradient at the lowest layer, relative to the top layer", profile.transport, "ratio"),
        ),
        reason=(
            f"The weights are too small for {operation or 'a linear layer'}: {wants}, found {number(facts.row_square_sum)} / fan_in; "
            f"over {len(layers)} layers {number(profile.transport)} of the gradient arrives at the lowest one."
        ),
        advice="Initialise with He, Var[w] = 2 / fan_in (torch.nn.init.kaiming_normal_)."
        if relu
        else "Initialise with Xavier, Var[w] = 2 / (fan_in + fan_out) (torch.nn.init.xavier_normal_).",
        confidence=0.95,
        sources=("he2015", "glorot2010"),
    )
