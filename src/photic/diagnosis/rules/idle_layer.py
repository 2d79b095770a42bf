"""Idle layer: a branch beside a way that is so much louder that what it says is not heard."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis import idle_words, lost_words
from photic.diagnosis.by_itself import levelled
from photic.diagnosis.cancelled import cancelled
from photic.diagnosis.epsilons import drowned
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.held_still import held_still
from photic.diagnosis.learning import learns, learns_a_third
from photic.diagnosis.one_choice import one_choice
from photic.diagnosis.one_for_all import attended_alike, one_for_all
from photic.diagnosis.one_row import spread_row
from photic.diagnosis.outside import outside
from photic.diagnosis.registry import rule
from photic.diagnosis.silenced import (
    Silenced,
    fresh_cells,
    masked_whole,
    multiplied_by_nothing,
    nothing_made,
    passed_by,
)
from photic.diagnosis.softmaxes import summed_whole
from photic.diagnosis.told_the_same import told_the_same, uses
from photic.diagnosis.unheard import dropped_results, empty_layers, thrown_away
from photic.diagnosis.untold import constant_under_a_derivative, never_run
from photic.diagnosis.words import listed, number
from photic.records.findings import Evidence, Finding


@rule(sources=("zhang2019", "wang2022deepnet", "ba2016"))
def idle_layer(
    graph: Graph, training: Training | None = None, *, quiet: float = 1e-3, grows: float = 2.0
) -> Finding | None:
    """A trained branch adds less than `quiet` of what it is added to, does not grow, and has no gate that could open.

    Signs: of the two values of a sum one is less than `quiet` of the other, it comes from trained layers, no trained factor
    stands between them and the sum, and over the steps its part has not grown `grows` times. Or a product with exactly 0 (a factor
    that is not trained, or that a ReLU holds at 0, a mask, a dropout of everything) stands above trained layers, which get a
    gradient of exactly 0 and do not move from the first step to the last. Or something else makes exactly 0 of them: weights that
    look at nothing but padding, a sum along no edge, a state that is made anew at each step of a loop. Or what trained layers give goes
    nowhere: no output, no loss and nothing that learns is made of it, and no gradient comes. Or a layer has no unit: an axis of its
    weights has length 0. Or of a trained matrix nothing is left under its mask.

    Or the recurrent matrix of a cell in a loop gets none, because its state is made anew at each turn.

    Or a normalisation takes each number by itself, of which its bias alone is left.

    Or the gradient arrives at a slice, or at an attention with one place to look at, and exactly none of it at layers below.

    Or a number that all numbers of an example share is added to them, or multiplies them, before something that a common shift or scale is
    nothing to (a softmax, a normalisation): the gradients that come back to it add up to nothing.

    Or one row of a trained table is added at all places, of which each could have its own.

    Or an operation makes one value for all examples of what differs, and layers beside a way that differs are given nothing else.

    Or the shares of a softmax are added up over the axis that they were shared out over.

    Or what is added comes by two ways that cancel, or a map is sampled beyond its edges at most places, where there is nothing.

    Or what an operation with a twin in place gives (`masked_fill`) is thrown away, and what it took goes on as it was.

    Or the model keeps its layers in an iterator, which the first forward uses up; or no operation takes a matrix that the optimizer holds
    (information); or a derivative that the forward takes does not depend on them.

    Or a matrix that the optimizer holds gets a gradient and stands still: the step passes it over, or what it moves by is taken back
    before the next step. Or all examples, which differ, are given the same row of a trained table. Or an attention reads the same of
    every example, though what it reads from differs: its mask lets through nothing but padding.

    Why it matters: what is not heard in the output gets no gradient from it: the layers are computed, paid for, and idle.

    False alarms: a branch that starts at 0 with weights that get a gradient (Fixup, zero gamma) grows at once; a trained
    gate at 0 or 1e-6 (ReZero, LayerScale) opens, and a block that is left out at random (stochastic depth) moves in other steps.
    Weights that are heard at another step of a loop are heard.
    Small positional or bias terms come from no layer. A large number that no layer made, added to scores before a softmax, is a
    mask. Where the network learns without a branch times 0, that is information; so is a result that goes nowhere, or a layer
    without units, or one that stands still, in a network that learns a third of what there is to learn. A narrow type rounds small steps
    away, and a smaller rate or gradient may: such matrices do not count. Numbers that are given
    (token types, all 0) are no choice. What is an output is heard by whoever calls the model.
    """
    if graph.run.used_up:
        return lost_words.used_up_words(graph, informs=learns_a_third(training))
    if shut := multiplied_by_nothing(graph):
        return idle_words.shut_words(graph, shut, informs=learns(training))
    if dropped := dropped_results(graph):
        return idle_words.dropped_words(graph, dropped, informs=learns_a_third(training))
    if thrown := thrown_away(graph):
        return lost_words.thrown_words(graph, thrown, informs=learns_a_third(training))
    if none := empty_layers(graph):
        return idle_words.empty_words(graph, none, informs=learns_a_third(training))
    if shut := masked_whole(graph):
        return idle_words.masked_words(graph, shut, informs=learns(training))
    if shut := nothing_made(graph):
        return idle_words.zeros_words(graph, shut, informs=learns(training))
    if (level := levelled(graph)) and one_for_all(graph) is None:
        return idle_words.levelled_words(graph, [Silenced(*one) for one in level], informs=learns_a_third(training))
    if fresh := fresh_cells(graph):
        return idle_words.fresh_words(graph, fresh)
    if shut := passed_by(graph):
        return idle_words.passed_by_words(graph, shut, informs=learns_a_third(training))
    if alike := attended_alike(graph):
        return idle_words.read_alike_words(graph, alike)
    if (choice := one_choice(graph)) is not None and not choice.whole and set(choice.readers) & set(graph.layers()):
        return idle_words.chosen_words(graph, choice, informs=learns_a_third(training))
    if (held := held_still(graph)) is not None:
        on_purpose = held.how == "hooked" and any(
            r.gradient is not None and r.gradient.rms for r in graph.run.steps[0].parameters
        )
        return idle_words.held_words(graph, held, informs=on_purpose or learns_a_third(training))
    if (beyond := outside(graph)) is not None:
        return lost_words.outside_words(graph, beyond, informs=learns_a_third(training))
    if (nothing := cancelled(graph)) is not None:
        return lost_words.cancelled_words(graph, nothing, informs=learns_a_third(training))
    if summed := summed_whole(graph):
        below = graph.ancestors([softmax for softmax, _ in summed])
        if layers := [index for index in graph.layers() if index in below]:
            return lost_words.summed_words(graph, summed, layers, informs=learns_a_third(training))
    if rows := spread_row(graph):
        return lost_words.one_row_words(graph, rows)
    if (same := told_the_same(graph)) is not None:
        return lost_words.same_words(graph, same, informs=same.on_purpose or learns_a_third(training))
    if constant := constant_under_a_derivative(graph):
        return lost_words.constant_words(graph, constant)
    if drowned(graph):
        return None  # an epsilon makes a signal small: `frozen-by-epsilon` says so
    graph, last = graph.first, graph.last
    found: list[tuple[int, float]] = []
    for pair in unequal_sums(graph, quiet):
        later = _size(last, pair.branch) / max(_size(last, pair.way), 1e-300)
        part = pair.quiet / pair.loud
        if pair.layers and later < quiet and later < grows * part:
            found += [(layer, part) for layer in pair.layers]
    quiet_ones = {index for index, _ in found}
    places = sorted(index for index in quiet_ones if uses(graph, index) <= quiet_ones)
    if not places:
        return lost_words.never_run_words(unused) if (unused := never_run(graph)) else None
    part = min(value for _, value in found)
    names = [graph.site(index).name for index in places]
    return Finding(
        problem="idle-layer",
        severity="warning",
        sites=tuple(names),
        where=graph.site(places[0]).where,
        evidence=(Evidence("size of the branch beside what it is added to", part, "ratio"),),
        reason=(
            f"{listed(names)} add {number(part)} of what is already there: nothing in the output tells whether they are right, so they "
            "hardly learn, and the network is what is left without them."
        ),
        advice="Bring both to the same size: scale the stream down (a normalisation before the first block), or the branch up.",
        confidence=0.8,
        sources=("zhang2019", "wang2022deepnet"),
    )


@dataclass(frozen=True)
class Unequal:
    """A sum of two values of which one is not heard: its site, the place of the quiet argument, and both sizes (rms)."""

    site: int
    place: int
    branch: int
    way: int
    quiet: float
    loud: float
    layers: tuple[int, ...]


def unequal_sums(graph: Graph, quiet: float = 1e-3) -> list[Unequal]:
    """Return the sums of the model in which one of two values is less than `quiet` of the other."""
    found: list[Unequal] = []
    for site in graph.run.sites:
        if site.operation != "add" or site.phase != "model":
            continue
        sources = [source for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        if len(sources) != 2:
            continue
        sizes = [_size(graph, source) for source in sources]
        if min(sizes) <= 0.0 or min(sizes) >= quiet * max(sizes):
            continue
        place = sizes.index(min(sizes))
        branch, way = sources[place], sources[1 - place]
        if _masks(graph, site.order, way):
            continue
        layers = tuple(_branch(graph, branch, way))
        found.append(Unequal(site.order, place, branch, way, sizes[place], sizes[1 - place], layers))
    return found


def _masks(graph: Graph, total: int, way: int) -> bool:
    """Whether the loud value is a mask of scores: no layer made it, and a softmax takes the sum."""
    trained = set(graph.layers())
    taken = any("softmax" in graph.site(after).operation for after in graph.consumers.get(total, []))
    return taken and trained.isdisjoint(graph.ancestors([way]) | {way})


def _size(graph: Graph, index: int) -> float:
    signal = graph.reading(index).signal
    return 0.0 if signal is None else signal.rms


def _branch(graph: Graph, branch: int, way: int) -> list[int]:
    """Return the trained layers of the branch alone; none where a trained factor gates it, or its weights are 0."""
    own = ({branch} | graph.ancestors([branch])) - ({way} | graph.ancestors([way]))
    layers = [index for index in graph.layers() if index in own]
    above = max(layers, default=-1)
    for index in own:
        if index > above and any(parameter.trainable for parameter, _ in graph.parameters.get(index, [])):
            return []
    return layers
