"""Saturated activation: most units sit where the curve is flat, so no gradient passes."""

from __future__ import annotations

import math

from photic.activations import find
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, solved
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed, number, percent
from photic.records.findings import Evidence, Finding
from photic.records.sites import Site
from photic.records.vocabulary import Severity


@rule(sources=("glorot2010", "xu2016"))
def saturated_activation(
    graph: Graph, training: Training | None, *, share: float = 0.5, severe: float = 0.9, enough: int = 64
) -> Finding | None:
    """Most units of a bounded hidden activation sit where its slope is below 1 % of the largest.

    Signs: at least `share` of the pre-activations of a hidden tanh, sigmoid, softsign or the like lie on its flat
    ends, or `severe` of those of a ReLU6 or the like, of which half may. Judged on at least `enough` numbers.

    Why it matters: the gradient is multiplied by the slope. A saturated unit passes nothing and does not change,
    whatever the loss is.

    False alarms: gates (a sigmoid whose output multiplies something) and outputs (nothing is learned above them)
    are meant to saturate; a network seen to learn with fewer than `severe` of them saturated is only told so, and so is
    one whose loss came down to nearly nothing: units become sure of themselves in the end. Flat halves of ReLU are the
    business of `dead-units`.
    """
    guilty: list[tuple[int, float]] = []
    for site in graph.run.sites:
        units, signal = graph.reading(site.order).units, graph.reading(site.order).signal
        if site.kind != "activation" or site.phase != "model" or units is None or signal is None:
            continue
        if signal.count < enough or units.saturated_fraction < _least(site, share, severe):
            continue
        if _is_gate(graph, site.order) or not _is_hidden(graph, site.order):
            continue
        guilty.append((site.order, units.saturated_fraction))
    if not guilty:
        return None
    first, fraction = guilty[0]
    site, units = graph.site(first), graph.reading(first).units
    assert units is not None
    low, high = units.input_quantiles[2], units.input_quantiles[6]
    worst = max(value for _, value in guilty)
    cause = _cause(graph, first)
    severity: Severity = "critical" if worst >= severe else "info" if learns(training) else "warning"
    return Finding(
        problem="saturated-activation",
        severity="info" if solved(training) else severity,
        sites=tuple(graph.site(index).name for index, _ in guilty),
        where=site.where,
        evidence=(
            Evidence("share of saturated pre-activations at the first such site", fraction, "share"),
            Evidence("root mean square slope there", units.slope_rms, "slope"),
            Evidence("5 % of its pre-activations lie below", low, "pre-activation"),
            Evidence("5 % of its pre-activations lie above", high, "pre-activation"),
        ),
        reason=(
            f"{percent(fraction)} of what enters {site.name} lies where {site.operation} is flat (90 % between "
            f"{number(low)} and {number(high)}), so it multiplies the gradient by {number(units.slope_rms)} only; {cause}."
        ),
        advice="Scale the inputs to mean 0 and deviation 1, initialise the weights with Xavier, or put a normalisation before "
        "the activation.",
        confidence=min(0.95, 0.6 + 0.4 * (worst - share) / (1.0 - share)),
        sources=("glorot2010", "xu2016"),
        victims=tuple(graph.site(index).name for index in graph.layers() if index <= first),
    )


def _least(site: Site, share: float, severe: float) -> float:
    """Return the share of saturated inputs that is too many: of a ReLU with a lid half may be; infinite where one side at most is flat."""
    activation = find(site.operation, dict(site.settings))
    ends = set[float]() if activation is None else {end for interval in activation.flat_intervals for end in interval}
    if not {math.inf, -math.inf} <= ends:
        return math.inf
    return severe if 0.0 in ends else share


def _is_gate(graph: Graph, index: int) -> bool:
    """Whether the output multiplies another signal, past limits and powers (gates of an LSTM or of channels, a length, shares)."""
    pending = [index]
    while pending:
        for consumer in graph.consumers.get(pending.pop(), []):
            site = graph.site(consumer)
            if site.operation in ("mul", "where", "addcmul"):
                return True
            if site.operation in ("clamp", "clamp_min", "clamp_max", "exp", "unsqueeze", "expand", "expand_as"):
                pending.append(consumer)
    return False


def _is_hidden(graph: Graph, index: int) -> bool:
    above = graph.descendants([index])
    return any(graph.site(after).kind == "weight" and graph.site(after).phase == "model" for after in above)


def _cause(graph: Graph, index: int) -> str:
    """Say whether the input or the weights drive the units into saturation."""
    below = [
        source for source, _ in graph.feeders.get(index, []) if source >= 0 and graph.site(source).kind == "weight"
    ]
    if not below:
        return "what enters it is too large"
    facts = graph.reading(below[0]).weight
    sources = [source for source, _ in graph.feeders.get(below[0], [])]
    entering = graph.run.inputs if sources == [-1] else None
    if entering is not None and entering.rms > 5.0:
        return f"the network's input has a root mean square of {number(entering.rms)} where about 1 is wanted"
    if facts is not None and facts.row_square_sum > 4.0:
        return f"the weights of {graph.site(below[0]).name} have fan_in * Var[w] = {number(facts.row_square_sum)}, about 1 is wanted"
    return f"{listed([graph.site(below[0]).name])} makes them too large"
