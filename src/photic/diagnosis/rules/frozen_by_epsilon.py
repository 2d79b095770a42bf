"""Frozen by epsilon: gradients so small that Adam's epsilon takes their step, or signals that a normalisation's drowns."""

from __future__ import annotations

from photic.diagnosis.by_itself import divided_by_itself
from photic.diagnosis.epsilons import Drowned, drowned
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.one_for_all import attended_alike
from photic.diagnosis.registry import rule
from photic.diagnosis.words import listed, number, percent
from photic.records.findings import Evidence, Finding


@rule(sources=("kingma2015", "wortsman2023", "ioffe2015", "ba2016"))
def frozen_by_epsilon(
    graph: Graph, training: Training | None, *, share: float = 0.5, slow: float = 0.02, converged: float = 0.1
) -> Finding | None:
    """The epsilon of Adam and its kin takes at least half of the step of more than `share` of a layer's weights.

    Signs: sqrt(v) <= eps for more than half of the elements that have a gradient at all, in a layer that is trained, and
    the layer's step, relative to its weight, is below `slow` times that of the fastest layer, or 1e-4. Or it is so in all
    layers, none steps by 1e-3 of its weight, and the loss does not fall.

    Why it matters: Adam divides by sqrt(v) + eps, so that layers with small gradients learn as fast as others; where the
    gradient is smaller than eps that ends, and the layer steps in proportion to its gradient: hardly. A normalisation that
    divides by its epsilon leaves a signal of 1e-6 as small as it is, and the gradient smaller still.

    False alarms: a network that has converged has small gradients everywhere; with the loss below `converged` of its
    first value nothing is said. Elements that never had a gradient (rows of an embedding, dead units) do not count, and a
    normalisation of what is exactly 0 does not. One that is drowned in a network which learns is information.
    """
    if training is not None and (small := drowned(graph)):
        return _drowned(graph, small, informs=learns(training))
    itself = divided_by_itself(graph)  # what lies below hears rounding alone
    alike = graph.ancestors(attended_alike(graph))  # and so does what no score of an attention tells apart
    layers = [i for i in graph.layers() if i not in alike and (itself is None or i not in itself.layers)]
    frozen: list[tuple[int, float]] = []
    covered: list[tuple[int, float]] = []
    last = graph.last
    steps = {index: _step(last, index) for index in layers}
    fastest = max((ratio for ratio in steps.values() if ratio is not None), default=0.0)
    for index in layers:
        shares = [
            r.epsilon_share
            for p, r in last.parameters.get(index, [])
            if len(p.shape) > 1 and r.epsilon_share is not None
        ]
        ratio = steps[index]
        if shares and max(shares) > share and ratio is not None:
            covered.append((index, max(shares)))
            if ratio < max(slow * fastest, 1e-4):
                frozen.append((index, max(shares)))
    if len(covered) == len(layers) and fastest < 1e-3 and training is not None and not learns(training):
        frozen = covered
    if not frozen or (training is not None and training.last < converged * training.first):
        return None
    everywhere = len(frozen) == len(layers) and len(layers) > 1
    names = [graph.site(index).name for index, _ in frozen]
    worst = max(value for _, value in frozen)
    cause = (
        "in all layers, the last one too: epsilon is too large, or the units of the loss too small, and the steps are those of slow gradient descent"
        if everywhere
        else f"in {len(frozen)} of {len(layers)} layers, where the gradient that arrives is that small"
    )
    return Finding(
        problem="frozen-by-epsilon",
        severity="critical" if 2 * len(frozen) >= len(layers) else "warning",
        sites=() if everywhere else tuple(names),
        where="" if everywhere else graph.site(frozen[0][0]).where,
        evidence=(
            Evidence("largest share of weights whose step epsilon halves", worst, "share"),
            Evidence("layers frozen", float(len(frozen)), "layers"),
            Evidence("layers", float(len(layers)), "layers"),
        ),
        reason=(
            f"{graph.run.optimizer.split('(', 1)[0] or 'Adam'}'s epsilon takes at least half of the step of up to {percent(worst)} of "
            f"a layer's weights {cause} "
            f"({listed(names)}); their sqrt(v) lies below eps, so they hardly move."
        ),
        advice="Lower eps (1e-12, 1e-15 in float32), or compute the loss in natural units; better, cure what makes "
        f"the gradient fade below {number(1e-8)}.",
        confidence=0.85,
        sources=("kingma2015", "wortsman2023"),
    )


def _drowned(graph: Graph, small: list[Drowned], *, informs: bool) -> Finding:
    site = graph.site(small[0].site)
    return Finding(
        problem="frozen-by-epsilon",
        severity="info" if informs else "critical",
        sites=tuple(graph.site(one.site).name for one in small),
        where=site.where,
        evidence=(
            Evidence("epsilon", small[0].epsilon, "value"),
            Evidence("what it is added to", small[0].size, "value"),
        ),
        reason=(
            f"The epsilon of {site.name}, {number(small[0].epsilon)}, is {number(small[0].epsilon / small[0].size)} times what it is added "
            f"to, {number(small[0].size)}: the signal is divided by the epsilon, stays that small, and what is above hears nothing of it."
        ),
        advice="Bring the input to unit size (volts to microvolts), or lower the epsilon to 1e-5 of the variance.",
        confidence=0.95,
        sources=("ioffe2015", "ba2016"),
    )


def _step(graph: Graph, index: int) -> float | None:
    ratios = [
        r.update_ratio for p, r in graph.parameters.get(index, []) if len(p.shape) > 1 and r.update_ratio is not None
    ]
    return max(ratios, default=None)
