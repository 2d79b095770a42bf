"""Learning rate too large: the steps are long, and the loss climbs."""

from __future__ import annotations

import itertools
import math

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, matrix_updates, median_update, uphill
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding


@rule(sources=("cs231n",))
def learning_rate_too_large(
    graph: Graph,
    training: Training | None,
    *,
    growth: float = 2.0,
    step: float = 0.05,
    fewest: int = 4,
    turned: float = 1.2,
) -> Finding | None:
    """A step moves a layer by `step` of its size or more, and the loss climbs, jumps or swings instead of falling.

    Signs: some weight matrix moves by at least 5 % in one step (about 0.1 % is usual), and the loss does one of three: it
    ends above `growth` times where it began (all of the last quarter, or the last one before nan); it jumps to more than
    three times that within the first five steps and does not come below it; or it had fallen and is back, while every
    matrix still moves that much. Or, early: the median matrix moves by 1 % or more, one and a half times as much as at the
    start, and the loss, which was falling, has turned: all of its last losses lie `turned` times above its best stretch.
    Or the loss has run away, step by step, to ten times its first and then to nan, whatever the steps were that were read.
    Or the median matrix moves by half of its size or more in a step, and no less than at the start, whatever the loss does; or by
    all of its size in the first, and nothing is learned.

    Why it matters: beyond twice the inverse of the largest curvature each step overshoots further than the last.

    False alarms: losses that may rise (a GAN's, a policy's) do so at small steps, and warm-up makes few long ones; both
    conditions are asked for. A loss that jumped at the start, where the median matrix moves by less than `step`, and comes back so fast
    that it will soon be below where it began, is information; so is it where no optimizer was given, and the steps were ours.
    """
    if training is None:
        return None
    return _overshoots(graph, training, growth, step, fewest, turned) or _wild(graph, training)


def _overshoots(
    graph: Graph, training: Training, growth: float, step: float, fewest: int, turned: float
) -> Finding | None:
    """The loss climbs, jumps, swings or turns while the steps are long."""
    if not training.losses[0] > 0.0:
        return None
    finite = list(itertools.takewhile(math.isfinite, training.losses))
    broken = len(finite) < len(training.losses)
    up, known = uphill(graph)
    burst = len(finite) > 1 and finite[-1] > 1e6 * finite[0]  # as good as broken
    if len(finite) < (2 if broken or burst else fewest) or 2 * up > known > 0:  # uphill: `diverging`
        return None
    end = finite[-1:] if broken or burst else finite[-max(2, len(training.losses) // 4) :]
    graphs = [type(graph).of(graph.run, index) for index in range(len(graph.run.steps))]
    ratios = [value for each in graphs for value in matrix_updates(each) if math.isfinite(value)]
    early = not broken and _turns(finite, turned) and _ramps(graphs)
    first = finite[0]
    ran_away = broken and len(finite) > 3 and finite[-1] > 10.0 * first and finite[-3] < finite[-2] < finite[-1]
    if not ratios or (max(ratios) < step and not early and not ran_away):
        return None
    climbs = all(value > growth * first for value in end)
    jumps = max(finite[:6]) > 3.0 * first and sum(end) / len(end) > 0.9 * first
    swings = (
        (median_update(graphs[-1]) or 0.0) >= step
        and min(finite[1:-1], default=first) < 0.7 * first
        and not learns(training)
        and sum(end) / len(end) > 0.7 * first
    )
    if not ran_away and (max(ratios) < step or not (climbs or jumps or swings)):
        if not early:
            return None
        climbs = jumps = swings = False
    assumed = graph.run.facts.get("optimizer") == "assumed"
    few = all((median_update(each) or math.inf) < step for each in graphs)
    returns = jumps and few and not (climbs or swings or broken or ran_away) and _returns(finite)
    return Finding(
        problem="learning-rate-too-large",
        severity="info" if assumed or returns else "critical" if climbs or jumps or swings else "warning",
        sites=(),
        where="",
        evidence=(
            Evidence("largest relative update of a weight matrix in one step", max(ratios), "ratio"),
            Evidence("loss at the first step", training.losses[0], "loss"),
            Evidence("largest loss", max(finite), "loss"),
            Evidence("last loss, or the lowest of the last quarter", min(end), "loss"),
        ),
        reason=(
            f"One step moves a weight matrix by up to {percent(max(ratios))} of its size (about 0.1 % is usual), and the loss "
            f"{_says(climbs, jumps, swings, first, finite)}{', then nan' if broken else ''}: the steps overshoot"
            + (f"; the steps were made with {graph.run.optimizer}, as no optimizer was given." if assumed else ".")
        ),
        advice="Lower the learning rate by ten, warm it up, or clip the gradient's norm.",
        confidence=0.85,
        sources=("cs231n",),
    )


def _wild(graph: Graph, training: Training, half: float = 0.5) -> Finding | None:
    """Steps that replace the weights: whatever the loss says of them, nothing of what was learned stays."""
    if graph.run.facts.get("optimizer") == "assumed" or len(graph.run.steps) < 2 or training.steps < 10:
        return None
    up, known = uphill(graph)
    if training.last < -abs(training.first) or 2 * up > known > 0:
        return None  # no bound below, or uphill: `diverging`
    first, last = median_update(graph.first), median_update(graph.last)
    if first is None:
        return None
    if first >= 1.0 and not learns(training) and _usual(graph):
        return _replacing(graph, training, first)
    if last is None or last < max(half, first):
        return None
    return Finding(
        problem="learning-rate-too-large",
        severity="warning",
        sites=(),
        where="",
        evidence=(
            Evidence("relative update of the median weight matrix, at first", first, "ratio"),
            Evidence("the same after the steps", last, "ratio"),
        ),
        reason=(
            f"After {training.steps} steps one step still moves the median weight matrix by {percent(last)} of its size "
            f"({percent(first)} at first; about 0.1 % is usual): nothing of what was learned stays."
        ),
        advice="Lower the learning rate by ten or more; see whether a schedule multiplies it without a bound.",
        confidence=0.8,
        sources=("cs231n",),
    )


def _usual(graph: Graph) -> bool:
    """Whether most weights begin at a usual size: those that begin near 0 are replaced by any step."""
    facts = [graph.first.reading(index).weight for index in graph.layers()]
    return 2 * sum(f is not None and f.row_square_sum > 0.05 for f in facts) > len(facts)


def _replacing(graph: Graph, training: Training, ratio: float) -> Finding:
    return Finding(
        problem="learning-rate-too-large",
        severity="warning",
        sites=(),
        where="",
        evidence=(Evidence("relative update of the median weight matrix in the first step", ratio, "ratio"),),
        reason=(
            f"The first step moves the median weight matrix by {percent(ratio)} of its size (about 0.1 % is usual): nothing is left of how "
            f"it was drawn, and {training.steps} steps later the loss stands at {number(training.last)}."
        ),
        advice="Lower the learning rate by ten or more, or warm it up.",
        confidence=0.8,
        sources=("cs231n",),
    )


def _returns(losses: list[float]) -> bool:
    """Whether a loss that jumped comes down so fast that after as many steps again it would be below where it began.

    As it fell from its peak so far, last * last / peak < first, and the last quarter lies a quarter below the one before.
    """
    quarter = len(losses) // 4
    before, last = sum(losses[-2 * quarter : -quarter]) / quarter, sum(losses[-quarter:]) / quarter
    return last < 0.75 * before and last * last / max(losses) < losses[0]


def _turns(losses: list[float], turned: float) -> bool:
    """Whether all of the last losses lie that much above the best stretch of as many before."""
    window = max(5, len(losses) // 8)
    if len(losses) < 4 * window:
        return False
    best = min(sum(losses[k : k + window]) / window for k in range(len(losses) - 2 * window + 1))
    return 0.0 < turned * best < min(losses[-window:])


def _ramps(graphs: list[Graph]) -> bool:
    """Whether the median weight matrix moves by 1 % or more, and half as much again as at the start."""
    first, last = median_update(graphs[0]), median_update(graphs[-1])
    return first is not None and last is not None and last >= max(0.01, 1.5 * first)


def _says(climbs: bool, jumps: bool, swings: bool, first: float, losses: list[float]) -> str:
    if climbs:
        return f"rises from {number(first)} to {number(losses[-1])}"
    if jumps:
        return f"jumps from {number(first)} to {number(max(losses))} and ends at {number(losses[-1])}"
    if not swings:
        return f"has turned: from {number(min(losses))} it is back at {number(losses[-1])} while the steps grow longer"
    return f"falls from {number(first)} to {number(min(losses))} and is back at {number(losses[-1])}"
