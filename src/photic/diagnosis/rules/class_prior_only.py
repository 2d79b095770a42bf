"""Class prior only: the outputs say how often the classes come, the same for every input."""

from __future__ import annotations

from photic.diagnosis.centred_away import centred_away
from photic.diagnosis.drawn import one_number
from photic.diagnosis.dropped import DROWNS, dropped
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.learning import learns
from photic.diagnosis.one_for_all import SAME, How, OneForAll, one_for_all
from photic.diagnosis.registry import rule
from photic.diagnosis.told_nothing import (
    Drowned,
    HeldAtNothing,
    asked_away,
    drowned_input,
    held_at_nothing,
    passes,
    shut_entrance,
    whole_turns,
)
from photic.diagnosis.words import listed, number, percent
from photic.records.findings import Evidence, Finding
from photic.records.vocabulary import Severity

_MADE: dict[How, str] = {
    "rounded": "rounds what differs between the examples to one number",
    "limited": "has limits that hold none of the numbers that enter it: all become the limit",
    "masked": "leaves out everything: its mask is true at every place",
    "normalised": "takes the mean of a single number from it, which leaves nothing of it",
    "attended": "reads the same at every example: the padding, where its mask leaves out the words",
    "cancelled": "puts together two numbers that cancel: the same was taken twice",
    "read-out": "hands one row to all examples",
    "underflowed": "takes the exponential of numbers so far below 0 that it is 0 for all",
    "averaged": "divides a sum by what it has grown with: a mean of numbers that are alike, however many there are",
}
_ADVICE: dict[How, str] = {
    "rounded": "Scale before rounding, so that the numbers cover the whole range of the new type, or leave the rounding out.",
    "limited": "Choose limits that hold the numbers, in their own unit.",
    "masked": "Look at what the mask is made of: a share of 15 in place of 0.15, a comparison the wrong way round.",
    "normalised": "Normalise over an axis of several numbers (time, features), or leave the normalisation out.",
    "attended": "Turn the mask: a key_padding_mask and masked_fill are True where nothing is to be read.",
    "cancelled": "Look for an index, or a name, that stands twice.",
    "read-out": "Read out each example by itself: the mean of its own rows alone (index_add over the batch vector).",
    "underflowed": "Bring what the distances are taken of to unit size (mean 0, deviation 1), or divide the exponent by its own size.",
    "averaged": "Take sums, or divide by one number for all, so that how many there are is told; or give the nodes features that differ.",
}


@rule(sources=("glorot2010", "he2009imbalanced", "kingma2014", "bowman2016", "srivastava2014"))
def class_prior_only(
    graph: Graph,
    training: Training | None,
    *,
    alike: float = 0.02,
    still: float = 0.1,
    fewest: int = 150,
    follow: float = 0.95,
) -> Finding | None:
    """The loss has fallen to what the frequency of the classes gives and stays there: the outputs do not depend on the inputs.

    Signs: in a classification the outputs of all examples are the same but for `alike` of their mean square, at the last step
    that was read; the loss does not lie above that of chance, and over the second half of the steps it falls by less
    than `still`. Or all examples of a batch are the same where they enter the first layer. Or they enter unlike, and an operation makes one
    of them whatever the weights are, before the steps and after: a cast or a limit below the layers, a normalisation over one number, an
    attention to what is padding everywhere, a difference of the same, one row handed to all. Or the layers are told nothing, or not what is
    asked for, and the loss does not fall below that of chance or of the targets' mean: sines take whole turns; what comes of the batch is
    a hundredth of a sum that it goes into; each example is divided by its own size, and this is most of what is asked for; a
    penalty holds a code beside noise so small that it tells less than a tenth of a bit, and pulls half as hard as the answers; a dropout
    leaves less than a quarter. Or what the upper layers are given is a
    mean over what was just centred (InstanceNorm before a global average): it is 0, and only its rounding is left. Or the weights of the classes
    in the loss grow with how often each comes, with its root or more, their logarithms correlated by `follow` or more: the wrong way
    round; told by the weights that it is given, or by the gradient that outputs of 0 get, where all classes are alike.

    Why it matters: the output's biases learn the prior within some ten steps, the loss falls, and it looks like the beginning
    of learning. It is all that a network learns whose lower layers say nothing, or get nothing.

    False alarms: every network passes this point, so nothing is said before `fewest` steps. Where another finding says why
    nothing else is learned, that one is reported.
    """
    slope = weights_with_counts(graph, follow)
    if training is None:  # a loss needs no training to be the wrong way round
        return None if slope is None else _inverted(graph, slope)
    if training.ignorant and not learns(training) and (found := _nothing_told(graph, training)):
        return found
    if held := held_at_nothing(graph):  # a loss that falls is no excuse: the code cannot tell more than that
        return _held(graph, held, training)
    if training.chance is None:
        return None if slope is None else _inverted(graph, slope)
    if one := _one_example(graph):
        return _alike(graph, one, training)
    if not learns(training) and (away := centred_away(graph)):
        return _centred(graph, away[0], training)
    if slope is not None:
        return _inverted(graph, slope)
    if training.steps < fewest:
        return None
    last = graph.last
    spreads = [last.reading(index).spread for index in graph.run.outputs]
    known = [spread.examples for spread in spreads if spread is not None]
    half, quarter = len(training.losses) // 2, max(1, len(training.losses) // 4)
    middle = sum(training.losses[half : half + quarter]) / quarter
    end = sum(training.losses[-quarter:]) / quarter
    if not known or max(known) >= alike or not end <= 1.05 * training.chance or not middle - end < still * end:
        return None
    return Finding(
        problem="class-prior-only",
        severity="warning",
        sites=tuple(graph.site(index).name for index in graph.run.outputs),
        where=graph.site(graph.run.outputs[0]).where,
        evidence=(
            Evidence("share of the outputs that differs between examples", max(known), "share"),
            Evidence("last loss", end, "loss"),
            Evidence("loss of chance", training.chance, "loss"),
        ),
        reason=(
            f"The outputs are the same for all examples but for {percent(max(known))} of their mean square, and the loss stands at "
            f"{number(end)} (chance: {number(training.chance)}): how often the classes come is all that has been learned in "
            f"{training.steps} steps."
        ),
        advice="See whether the inputs reach the output (constant inputs, dead or collapsed layers) and whether the rate lets the "
        "lower layers move; more balanced batches show sooner what is learned beyond the prior.",
        confidence=0.7,
        sources=("glorot2010",),
    )


def _nothing_told(graph: Graph, training: Training) -> Finding | None:
    """Return the finding where the layers are told nothing of the batch, or not what is asked for."""
    if made := one_for_all(graph):
        return _made_one(graph, made, training)
    if one := _one_example(graph):
        return _alike(graph, one, training)
    if waves := whole_turns(graph):
        return _turned(graph, waves, training)
    if drowned := drowned_input(graph):
        return _drowned(graph, drowned, training)
    if asked := asked_away(graph):
        return _asked(graph, asked, training)
    return _dropped(graph, gone, training) if (gone := dropped(graph)) else None


def _turned(graph: Graph, waves: list[tuple[int, float]], training: Training) -> Finding:
    names, most = [graph.site(index).name for index, _ in waves], max(turns for _, turns in waves)
    return _unheard(
        graph,
        [index for index, _ in waves],
        Evidence("turns of the largest argument", most, "turns"),
        f"The arguments of {listed(names)} are whole turns, up to {number(most)}: each gives one number but for rounding, whatever enters the "
        f"network. {_all_there_is(training)}",
        "Divide by the period: an hour by 24, a weekday by 7, so that the whole range is one turn.",
        0.95,
    )


def _drowned(graph: Graph, drowned: Drowned, training: Training) -> Finding:
    site, part = graph.site(drowned.site), graph.site(drowned.part)
    return _unheard(
        graph,
        [drowned.part, drowned.site],
        Evidence("size of what comes of the batch beside the sum", drowned.share, "ratio"),
        f"{part.name} is all that comes of the batch, and {number(drowned.share)} of the sum at {site.name} that it goes into: beside what is "
        f"added to it nothing is heard of it. {_all_there_is(training)}",
        "Look at the factor on it: a schedule that multiplies up what is taken away in place of what is kept, a unit that is too large.",
        0.9,
    )


def _dropped(graph: Graph, gone: list[tuple[int, float]], training: Training) -> Finding:
    names, most = [graph.site(index).name for index, _ in gone], max(share for _, share in gone)
    louder = number((most / (1.0 - most)) ** 0.5) if most < 1.0 else "infinitely many"
    return _unheard(
        graph,
        [index for index, _ in gone],
        Evidence("share that is dropped", most, "share"),
        f"{listed(names)} {'zeroes' if len(names) == 1 else 'zero'} {percent(most)} of what enters, at random: the noise of that is {louder} times "
        f"the signal. {_all_there_is(training)}",
        "torch asks for the share that is dropped, not for that which is kept: 0.1 or 0.2 is usual.",
        0.8,
        severity="critical" if most >= DROWNS else "warning",
        source="srivastava2014",
    )


def _unheard(
    graph: Graph,
    sites: list[int],
    evidence: Evidence,
    reason: str,
    advice: str,
    confidence: float,
    *,
    severity: Severity = "critical",
    source: str = "glorot2010",
) -> Finding:
    """Return the finding at sites of which no layer hears anything of the batch."""
    return Finding(
        problem="class-prior-only",
        severity=severity,
        sites=tuple(graph.site(index).name for index in sites),
        where=graph.site(sites[0]).where,
        evidence=(evidence,),
        reason=reason,
        advice=advice,
        confidence=confidence,
        sources=(source,),
        victims=tuple(graph.site(layer).name for layer in graph.layers()),
    )


def _held(graph: Graph, held: HeldAtNothing, training: Training) -> Finding:
    site, code = graph.site(held.site), graph.site(held.code)
    return Finding(
        problem="class-prior-only",
        severity="warning",
        sites=(code.name, site.name),
        where=code.where,
        evidence=(
            Evidence("what the code of an example can tell", held.bits, "bits"),
            Evidence("pull of the penalty beside that of the answers", held.pull, "ratio"),
        ),
        reason=(
            f"The code that {code.name} makes tells {number(held.bits)} bits of an example beside the noise at {site.name}, and the penalty on it "
            f"pulls {number(held.pull)} times as hard as the answers do: it is held at nothing, and the loss stands at {number(training.last)}."
        ),
        advice="Weigh the penalty as the error is weighed: a mean over the pixels beside a sum over the code is a penalty as many times too "
        "large; let its weight grow from 0 over the first steps.",
        confidence=0.8,
        sources=("kingma2014", "bowman2016"),
    )


def _asked(graph: Graph, asked: tuple[int, float], training: Training) -> Finding:
    site = graph.site(asked[0])
    return Finding(
        problem="class-prior-only",
        severity="warning",
        sites=(site.name,),
        where=site.where,
        evidence=(Evidence("share of the targets' variance that is linear in what is divided by", asked[1], "share"),),
        reason=(
            f"{site.name} divides each example by numbers of its own, and these tell {percent(asked[1])} of what is asked for; nothing else that "
            f"reaches the output knows them. {_all_there_is(training)}"
        ),
        advice="Leave the scaling out, scale all examples alike, or hand the layers what was divided by as well.",
        confidence=0.85,
        sources=("glorot2010",),
    )


def _all_there_is(training: Training) -> str:
    what = "The mean of the targets" if training.chance is None else "How often the classes come"
    return f"{what} is all there is to learn, and the loss stands at {number(training.last)}."


def _one_example(graph: Graph) -> str:
    """Return the first layer if all examples of a batch enter it alike, at the first audit and the last; '' otherwise.

    What a layer makes whose weights are one number each says nothing of what enters it.
    """
    first = next((site for site in graph.run.sites if site.kind == "weight" and site.phase == "model"), None)
    if first is None or not _same(graph, first.order) or shut_entrance(graph) is not None:
        return ""
    if passes(graph, {site.order for site in graph.run.sites if _same(graph, site.order)}):
        return ""  # they are told apart by another way
    entrances = [
        s.order for s in graph.run.sites if s.kind == "weight" and s.phase == "model" and not _made(graph, s.order)
    ]
    if any(_unlike(graph, index) for index in entrances):
        return ""  # or where words of another kind enter
    if any(_unlike(graph, source) for source, _ in graph.feeders.get(first.order, [])):
        return ""  # it makes them alike itself: its weights, or what enters, are next to nothing beside its bias
    # What is frozen and takes numbers of words is in no way of the gradient, so that no site knows of it.
    silent = [p for p in one_number(graph) if not p.sites or min(p.sites) <= first.order]
    return "" if silent else first.name


def _made(graph: Graph, index: int) -> bool:
    """Whether another site makes what a site takes."""
    return any(source >= 0 for source, _ in graph.feeders.get(index, []))


def _same(graph: Graph, index: int) -> bool:
    """Whether a site gives the same for all examples, at the first audit and the last."""
    spreads = [each.reading(index).spread for each in (graph.first, graph.last)]
    return all(spread is not None and spread.examples < SAME for spread in spreads)


def _unlike(graph: Graph, source: int) -> bool:
    """Whether a site, or the batch, is seen to differ between the examples."""
    if source < 0:
        return graph.run.columns is not None
    spread = graph.reading(source).spread
    return spread is not None and spread.examples > SAME


def _alike(graph: Graph, layer: str, training: Training) -> Finding:
    return Finding(
        problem="class-prior-only",
        severity="critical",
        sites=(layer,),
        where=graph.run.site(layer).where,
        evidence=(Evidence("share of the first layer's output that differs between examples", 0.0, "share"),),
        reason=(
            f"All examples of a batch are the same where they enter {layer}"
            + (", though the whole numbers that the model is given differ" if graph.run.whole_differ else "")
            + f". {_all_there_is(training)}"
        ),
        advice="Look at what makes the index: does a division or a limit make one number of all?"
        if graph.run.whole_differ
        else "Look at what the data loader returns: a buffer that it fills again, an index that does not advance, padding alone.",
        confidence=0.95,
        sources=("glorot2010",),
    )


def _made_one(graph: Graph, made: OneForAll, training: Training) -> Finding:
    site, above = graph.site(made.site), graph.site(made.alike)
    return Finding(
        problem="class-prior-only",
        severity="critical",
        sites=(site.name,),
        where=site.where,
        evidence=(Evidence(f"share of {above.name} that differs between examples", 0.0, "share"),),
        reason=(
            f"{site.name} ({site.operation}) {_MADE[made.how]}. From {above.name} on all examples of a batch are the same, although what "
            f"enters the network differs. {_all_there_is(training)}"
        ),
        advice=_ADVICE[made.how],
        confidence=0.95,
        sources=("glorot2010",),
        victims=tuple(graph.site(layer).name for layer in graph.layers() if layer >= made.alike),
    )


def _centred(graph: Graph, away: tuple[int, int | None], training: Training) -> Finding:
    mean, below = (None if index is None else graph.site(index) for index in away)
    assert mean is not None
    signal = graph.reading(mean.order).signal
    centred = "" if below is None else f", which {below.name} has just centred"
    return Finding(
        problem="class-prior-only",
        severity="warning",
        sites=(mean.name,),
        where=mean.where,
        evidence=(Evidence("root mean square of the mean", 0.0 if signal is None else signal.rms, "value"),),
        reason=(
            f"{mean.name} averages what comes in{centred}: the mean is 0 for every example but for rounding "
            f"({number(0.0 if signal is None else signal.rms)}), so the layers above hear nothing, and the loss stands at {number(training.last)}."
        ),
        advice="Put an activation between the normalisation and the mean, or normalise over the examples (BatchNorm).",
        confidence=0.95,
        sources=("glorot2010",),
    )


def weights_with_counts(graph: Graph, follow: float = 0.95) -> tuple[int, float] | None:
    """Return the loss whose class weights grow with the counts of the classes, and the power with which they do.

    The weights are those that it is given, or what the gradient of outputs that are all 0 tells.
    """
    losses = [site for site in graph.run.sites if site.phase == "loss"]
    for site in losses:
        slope, along = site.settings.get("weight_slope"), site.settings.get("weight_correlation")
        if isinstance(slope, float) and isinstance(along, float) and slope >= 0.5 and along >= follow:
            return site.order, slope
    power, along = graph.run.pull_power, graph.run.pull_correlation
    if losses and power is not None and along is not None and power >= 0.5 and along >= follow:
        logarithm = (s.order for s in losses if s.operation in ("cross_entropy", "log_softmax", "nll_loss"))
        return next(logarithm, losses[0].order), power
    return None


def _inverted(graph: Graph, found: tuple[int, float]) -> Finding:
    site, power = graph.site(found[0]), found[1]
    return Finding(
        problem="class-prior-only",
        severity="warning",
        sites=(),
        where=site.where,
        evidence=(Evidence("power of a class's count with which its weight grows", power, "ratio"),),
        reason=(
            f"What the classes weigh in the loss ({site.operation}) grows with how often each class comes, about with the power {number(power)} of "
            "its count: the seldom ones weigh next to nothing besides, and need never be named."
        ),
        advice="Weigh a class by one over its count, or over the root of its count.",
        confidence=0.85,
        sources=("he2009imbalanced",),
    )
