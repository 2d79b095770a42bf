"""Unscaled input: numbers enter the first layer in units that its weights were not made for."""

from __future__ import annotations

from photic.diagnosis.evidence import Training, chance
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns, nothing_learned
from photic.diagnosis.normalisers import normalised_right_after
from photic.diagnosis.optimizers import adaptive
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number
from photic.records.findings import Evidence, Finding

_PASSES = ("shape", "dropout", "pooling")


@rule(sources=("lecun1998", "cs231n"))
def unscaled_input(
    graph: Graph,
    training: Training | None,
    *,
    large: float = 10.0,
    small: float = 0.02,
    offset: float = 10.0,
    uneven: float = 1e3,
) -> Finding | None:
    """The input has a size, a mean or columns far from mean 0 and deviation 1, and the first layer shows it.

    Signs: numbers enter a trained layer directly, without a normalisation before or right after it, and their root mean
    square is above `large` or below `small`, or their mean is `offset` deviations from 0, or the deviations of their
    columns differ `uneven` times. Or a normalisation stands before, and the columns are as far from 0 behind it: it runs over another axis,
    or over all columns together. And it has a consequence: the first activations saturate, the loss starts at more than
    three times that of chance, or the first steps do not lower it.

    Why it matters: initialisations are made for inputs of unit size. Larger ones saturate or explode, smaller ones starve
    the first layer, a common offset makes all examples look alike, and columns of unlike size make the loss a narrow
    valley.

    False alarms: a normalisation, torch's or written out (x / x.norm()), takes the scale away; many networks learn from raw
    pixels all the same, if slowly: without a consequence it is information only. Token numbers are no numbers and do not count.
    """
    run = graph.run
    entered = [index for index in graph.layers() if _enters(graph, index) and not normalised_right_after(graph, index)]
    if run.inputs is None or run.columns is None:
        return None
    rms, columns = run.inputs.rms, run.columns
    if not entered:
        left = _left_alike(graph, 1.0 / (1.0 + offset * offset)) if columns.offset > offset else None
        return None if left is None else _left(graph, left, training)
    ratio = columns.largest / columns.smallest if columns.smallest > 0.0 else 0.0
    starved = rms < small and not adaptive(run)
    if rms > large and ratio <= uneven and columns.offset <= offset:
        what = f"has a root mean square of {number(rms)}"
    elif columns.offset > offset:
        what = f"has a mean {number(columns.offset)} deviations away from 0, so that all examples look alike"
    elif ratio > uneven and columns.columns > 2 and columns.largest > large:
        what = f"has columns whose deviations lie between {number(columns.smallest)} and {number(columns.largest)}"
    elif starved:
        what = f"has a root mean square of {number(rms)} only"
    else:
        return None
    follower = graph.following_activation(entered[0])
    units = None if follower is None else graph.reading(follower).units
    flat = 0.0 if units is None else max(units.saturated_unit_fraction, units.saturated_fraction - 0.5)
    expected = chance(graph.run)
    high = graph.loss is not None and expected is not None and graph.loss > 3.0 * expected
    stuck = training is not None and not learns(training)
    site = graph.site(entered[0])
    return Finding(
        problem="unscaled-input",
        severity="warning" if stuck or high or flat > 0.25 else "info",
        sites=tuple(graph.site(index).name for index in entered),
        where=site.where,
        evidence=(
            Evidence("root mean square of the input", rms, "value"),
            Evidence("its mean over its deviation", columns.offset, "ratio"),
            Evidence("largest deviation of a column over the smallest", ratio, "ratio"),
        ),
        reason=(
            f"What enters {site.name or 'the first layer'} {what}, where mean 0 and deviation 1 are wanted"
            + _consequence(flat, graph.loss if high else None, expected, training if stuck else None)
        ),
        advice="Standardise each column with the mean and deviation of the training set, or put a normalisation first.",
        confidence=0.85 if stuck or high or flat > 0.25 else 0.5,
        sources=("lecun1998", "cs231n"),
    )


def _left_alike(graph: Graph, share: float) -> int | None:
    """Return a normalisation in front of all else behind which no more than that share of the mean square differs between examples."""
    for site in graph.run.sites:
        if site.kind != "normalisation" or site.phase != "model" or not _enters(graph, site.order):
            continue
        spreads = [each.reading(site.order).spread for each in (graph.first, graph.last)]
        if all(facts is not None and facts.examples < share for facts in spreads):
            return site.order
    return None


def _left(graph: Graph, index: int, training: Training | None) -> Finding:
    site, facts = graph.site(index), graph.reading(index).spread
    share = 0.0 if facts is None else facts.examples
    stuck = training is not None and not learns(training)
    return Finding(
        problem="unscaled-input",
        severity="warning" if stuck else "info",
        sites=(site.name,),
        where=site.where,
        evidence=(Evidence("share of the mean square that differs between examples", share, "share"),),
        reason=f"Columns enter {site.name} with means far from 0 and leave it so: only {number(share)} of the mean square differs between "
        f"examples behind it{_consequence(0.0, None, None, training if stuck else None)}",
        advice="Standardise each column with the mean and deviation of the training set. BatchNorm1d takes the second axis for the columns "
        "(transpose before and after it); LayerNorm takes all of an example together.",
        confidence=0.8,
        sources=("lecun1998", "ioffe2015"),
    )


def _enters(graph: Graph, index: int) -> bool:
    """Whether the batch reaches a layer past operations that only move, drop or pool values."""
    return any(
        source < 0 or (graph.site(source).kind in _PASSES and _enters(graph, source))
        for source, _ in graph.feeders.get(index, [])
    )


def _consequence(flat: float, loss: float | None, expected: float | None, stuck: Training | None) -> str:
    if flat > 0.25:
        return ": the first activations saturate."
    if loss is not None and expected is not None:
        return f": the loss starts at {number(loss)}, chance is {number(expected)}."
    return "." if stuck is None else f", and {nothing_learned(stuck)}."
