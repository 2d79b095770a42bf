"""Stalled training: the layers do not move, or only shrink, and no better cause is known."""

from __future__ import annotations

from photic.diagnosis.evidence import Training, chance
from photic.diagnosis.graph import Graph
from photic.diagnosis.hand_written import backward_words
from photic.diagnosis.learning import decayed, learns, matrix_updates, nothing_learned
from photic.diagnosis.optimizers import adaptive, setting
from photic.diagnosis.registry import rule
from photic.diagnosis.words import number, percent
from photic.records.findings import Evidence, Finding

DEAF = 0.25  # of an example's numbers


@rule(sources=("cs231n", "zhang2022"))
def stalled_training(
    graph: Graph, training: Training | None, *, step: float = 5e-6, shrunk: float = 0.5, enough: int = 30
) -> Finding | None:
    """The weights hardly move, or weight decay pulls them to 0, and the loss stays where it was.

    Signs: no weight matrix moves by more than `step` of its size per step (about 1e-3 is usual), with an optimizer that
    divides by the gradient's size, or with a loss still at that of chance. Or all weight matrices shrink to less than
    `shrunk` of their size within the steps, under weight decay, and the loss does not fall. Or a schedule takes the learning
    rate to less than a hundredth within the steps, and the loss has not fallen to half by then.

    Where `enough` steps do not lower the loss below that of who knows nothing, and nothing else is found, that is told as information.

    Why it matters: everything may be right but the size of the steps; a thousand steps of 1e-6 are one of 1e-3.

    False alarms: a rate of exactly 0, or one that a scheduler holds below its full height (warm-up), is told as
    information; a network that has converged moves little under gradient descent, and its loss is far from that of
    chance.
    """
    falls = graph.run.facts.get("rate") == "falling"
    if training is None or learns(training, 0.5 if falls else 0.9):
        return None
    last = graph.last
    moved = [*matrix_updates(graph.first), *matrix_updates(last)]
    if not moved:
        return None
    fading = decayed(graph, shrunk)
    if fading is not None:
        return _finding(
            f"All weight matrices shrink, to {percent(fading)} of their size within {training.steps} steps: the weight decay of "
            f"{number(setting(graph.run, 'weight_decay') or 0.0)} pulls them to 0 faster than the loss can hold them.",
            "Lower the weight decay (1e-4 to 1e-2 is usual), or decouple it from the learning rate (AdamW).",
            Evidence("size of the weights after the steps, relative to before", fading, "ratio"),
        )
    if falls:
        return _finding(
            f"A schedule takes the learning rate from {graph.run.facts.get('rates', '')} within {training.steps} steps, and the loss stays at "
            f"{number(training.last)}: the steps become too short before much is learned.",
            "Let the schedule last as long as the training: is it stepped at every batch where it counts epochs?",
            Evidence("loss after the steps, relative to before", training.last / training.first, "ratio"),
        )
    largest = max(moved)
    rates = {p.learning_rate for p in graph.run.parameters if p.trainable and p.learning_rate is not None}
    expected = chance(graph.run)
    at_chance = expected is not None and training.last > 0.7 * expected
    if largest > step or not (adaptive(graph.run) or at_chance):
        return _unexplained(graph, training, enough) if "rate" not in graph.run.facts else None
    waits = (bool(rates) and max(rates) == 0.0) or graph.run.facts.get("rate") == "scheduled"
    return _finding(
        f"No weight matrix moves by more than {number(largest)} of its size in a step (about 1e-3 is usual), and the loss stays at "
        f"{number(training.last)}"
        + (
            f"; the learning rate is {number(max(rates, default=0.0))}, and a schedule holds it there, as at the start of a warm-up."
            if waits
            else f"; the learning rate is {number(max(rates))}."
            if rates
            else "."
        ),
        "Raise the learning rate until the relative step is about 1e-3 (a range test on a copy finds it).",
        Evidence("largest relative update of a weight matrix in one step", largest, "ratio"),
        informs=waits,
    )


def _finding(reason: str, advice: str, evidence: Evidence, *, informs: bool = False) -> Finding:
    return Finding(
        problem="stalled-training",
        severity="info" if informs else "critical",
        sites=(),
        where="",
        evidence=(evidence,),
        reason=reason,
        advice=advice,
        confidence=0.85,
        sources=("cs231n", "zhang2022"),
    )


def _unexplained(graph: Graph, training: Training, enough: int) -> Finding | None:
    """The loss stands still, and nothing that was measured says why, but perhaps how much of the input is heard."""
    if training.steps < enough or not training.first > 0.0 or not training.last > 0.0:
        return None
    if not training.ignorant:
        return None  # a game's loss, or a policy's, need not fall
    share = graph.run.unheard or 0.0
    deaf = share >= DEAF
    return Finding(
        problem="stalled-training",
        severity="info",
        sites=(),
        where="",
        evidence=(
            Evidence("loss after the steps, relative to before", training.last / training.first, "ratio"),
            *((Evidence("share of an example's numbers that are not heard", share, "share"),) if deaf else ()),
        ),
        reason=(
            f"The loss begins at {number(training.first)}; {nothing_learned(training)}. Nothing is learned of the inputs, and "
            + (
                f"{percent(share)} of an example's numbers are not heard: the answers have a slope of exactly 0 there."
                if deaf
                else f"{backward_words(graph) or 'nothing that was measured says why'}."
            )
        ),
        advice="What is asked for may lie where nothing is heard: a receptive field that is too short (dilations of 1, 2, 4, 8; more layers), "
        "a slice or an index that leaves it out."
        if deaf
        else "Look at what is not in the network: do labels and inputs belong together, is there anything to learn, would the network "
        "learn one batch by heart? Then try other learning rates.",
        confidence=0.5,
        sources=("cs231n",),
    )
