"""Idle layer: a branch beside a way that is so much louder that what it says is not heard."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.by_itself import levelled
from photic.diagnosis.epsilons import drowned
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.held_still import HeldStill, held_still
from photic.diagnosis.learning import learns, learns_a_third
from photic.diagnosis.one_choice import OneChoice, one_choice
from photic.diagnosis.one_for_all import attended_alike, one_for_all
from photic.diagnosis.registry import rule
from photic.diagnosis.silenced import (
    Silenced,
    fresh_cells,
    masked_whole,
    multiplied_by_nothing,
    nothing_made,
    passed_by,
)
from photic.diagnosis.unheard import Dropped, dropped_results, empty_layers
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
    if shut := multiplied_by_nothing(graph):
        return _shut(graph, shut, informs=learns(training))
    if dropped := dropped_results(graph):
        return _dropped(graph, dropped, informs=learns_a_third(training))
    if none := empty_layers(graph):
        return _empty(graph, none, informs=learns_a_third(training))
    if shut := masked_whole(graph):
        return _masked(graph, shut, informs=learns(training))
    if shut := nothing_made(graph):
        return _zeros(graph, shut, informs=learns(training))
    if (level := levelled(graph)) and one_for_all(graph) is None:
        return _levelled(graph, [Silenced(*one) for one in level], informs=learns_a_third(training))
    if fresh := fresh_cells(graph):
        return _fresh(graph, fresh)
    if shut := passed_by(graph):
        return _passed_by(graph, shut, informs=learns_a_third(training))
    if alike := attended_alike(graph):
        return _read_alike(graph, alike)
    if (choice := one_choice(graph)) is not None and not choice.whole and set(choice.readers) & set(graph.layers()):
        return _chosen(graph, choice, informs=learns_a_third(training))
    if (held := held_still(graph)) is not None:
        return _held(graph, held, informs=learns_a_third(training))
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
    places = sorted(index for index in quiet_ones if _uses(graph, index) <= quiet_ones)
    if not places:
        return None
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


def _read_alike(graph: Graph, alike: list[int]) -> Finding:
    read = [source for index in alike for source, _ in graph.feeders.get(index, [])[1:] if source >= 0]
    layers = [index for index in graph.layers() if index in graph.ancestors(read) | set(read)]
    names = [graph.site(index).name for index in (*alike, *layers)]
    return Finding(
        problem="idle-layer",
        severity="warning",
        sites=tuple(names),
        where=graph.site(alike[0]).where,
        evidence=(Evidence("attentions that read the same of every example", float(len(alike)), "sites"),),
        reason=(
            f"{listed([graph.site(index).name for index in alike])} reads the same of every example, at the first step and at the last, though "
            f"what it reads from differs: {listed([graph.site(index).name for index in layers])} are not heard."
        ),
        advice="Look at the mask: in torch's MultiheadAttention True in key_padding_mask leaves a place out; in scaled_dot_product_attention "
        "True lets it through.",
        confidence=0.95,
        sources=("vaswani2017attention",),
    )


def _uses(graph: Graph, index: int) -> set[int]:
    """Return all layers that use the trained weights of one, as the steps of a loop do: what is heard at another step is heard."""
    used = {site for p, _ in graph.parameters.get(index, []) if p.trainable for site in p.sites}
    return used & set(graph.layers())


def _starving(
    graph: Graph,
    shut: list[Silenced],
    reason: str,
    advice: str,
    *,
    informs: bool,
    sure: float,
    sources: tuple[str, ...],
) -> Finding:
    """Return the finding of layers that get a gradient of exactly 0 because of these sites; `{layers}` and `{sites}` stand for their names."""
    layers = sorted({index for one in shut for index in one.layers})
    names, places = [graph.site(index).name for index in layers], [graph.site(one.site) for one in shut]
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=tuple(names),
        where=places[0].where,
        evidence=(Evidence("layers that get a gradient of exactly 0", float(len(layers)), "layers"),),
        reason=reason.format(layers=listed(names), sites=listed([place.name for place in places])),
        advice=advice,
        confidence=sure,
        sources=sources,
    )


def _shut(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    reason = (
        "{layers} are multiplied by 0 at {sites}, at the first step and at the last: they add nothing, get a gradient of exactly 0 and never "
        "move, and nothing that is trained can open the way."
    )
    advice = "Make the factor a parameter (registered, trained, not cut off by a ReLU), or start it above 0; a dropout keeps 1 - p."
    sources = ("bachlechner2021", "srivastava2014")
    return _starving(graph, shut, reason, advice, informs=informs, sure=0.95, sources=sources)


def _masked(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    whole = [one.layers[0] for one in shut]
    layers = [*whole, *sorted({index for one in shut for index in one.layers} - set(whole))]
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=tuple(graph.site(index).name for index in layers),
        where=graph.site(shut[0].site).where,
        evidence=(Evidence("layers of whose weights nothing is left", float(len(whole)), "layers"),),
        reason=(
            f"Of the weights of {listed([graph.site(index).name for index in whole])} nothing is left: what multiplies them is 0 everywhere, "
            "at the first step and at the last, so they get a gradient of exactly 0, and nothing passes to what lies below."
        ),
        advice="Look at the mask: one threshold for all layers empties those with small weights; prune each layer by itself.",
        confidence=0.95,
        sources=("paszke2017",),
    )


def _held(graph: Graph, held: HeldStill, *, informs: bool) -> Finding:
    names = [graph.site(index).name for index in held.layers]
    one = len(held.parameters) == 1
    if held.how == "passed over":
        what = (
            "gets a gradient, the optimizer holds it, and no step moves it, while others with less of a gradient move"
            if one
            else "get a gradient, the optimizer holds them, and no step moves them, while others with less of a gradient move"
        )
        advice = "Look at the optimizer's loop: it must go on (continue, not break or return) at a parameter without a gradient."
    else:
        what = (
            f"{'is' if one else 'are'} moved by each step and put back before the next one: "
            f"something else than the optimizer writes into {'it' if one else 'them'}"
        )
        advice = (
            "Look for what writes into the weights: of a running mean the mean follows the weights, not the weights the mean; weights on a grid "
            "are rounded for the forward alone (w + (round(w) - w).detach()), not written back."
        )
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=tuple(names),
        where=graph.site(held.layers[0]).where,
        evidence=(
            Evidence("matrices that stand still in spite of a gradient", float(len(held.parameters)), "matrices"),
        ),
        reason=f"{listed(list(held.parameters))} {what}, so {listed(names)} learn nothing.",
        advice=advice,
        confidence=0.9,
        sources=("paszke2017",),
    )


def _chosen(graph: Graph, choice: OneChoice, *, informs: bool) -> Finding:
    site, tables = graph.site(choice.site), [index for index in choice.readers if index in set(graph.layers())]
    names = [graph.site(index).name for index in tables]
    rows = max(p.shape[0] for p, _ in graph.parameters.get(tables[0], []) if len(p.shape) > 1)
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=tuple(names),
        where=site.where,
        evidence=(Evidence("rows of the table that are read", 1.0, "rows"),),
        reason=(
            f"{site.name} makes the same number of all examples, at the first step and at the last, though they differ: of the {rows} rows "
            f"of {listed(names)} one is read, which tells nothing of the input."
        ),
        advice="Bring what is binned and the edges to the same unit, so that every bin holds some examples.",
        confidence=0.9,
        sources=("paszke2017",),
    )


def _zeros(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    reason = (
        f"{{sites}} ({graph.site(shut[0].site).operation}) gives exactly 0, at the first step and at the last, so nothing is heard of "
        "{layers}: their gradient is exactly 0, and they never move."
    )
    advice = "See what it is given: a mask the wrong way round, a choice of nothing but padding, no place or edge at all, a state made anew."
    return _starving(graph, shut, reason, advice, informs=informs, sure=0.9, sources=("zhang2019", "srivastava2014"))


def _levelled(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    reason = (
        "{sites} normalises each number by itself: less its own mean it is 0, and what comes out is the bias, whatever {layers} say. "
        "No gradient reaches them, and they never move."
    )
    advice = "Leave the normalisation out, or take it over an axis of several numbers."
    return _starving(graph, shut, reason, advice, informs=informs, sure=0.95, sources=("ba2016",))


def _fresh(graph: Graph, fresh: list[Silenced]) -> Finding:
    cells = [graph.site(one.site) for one in fresh]
    return Finding(
        problem="idle-layer",
        severity="warning",
        sites=tuple(cell.name for cell in cells),
        where=cells[0].where,
        evidence=(Evidence("calls of the cell", float(len(fresh[0].layers)), "calls"),),
        reason=(
            f"The recurrent weights of {listed([cell.name for cell in cells])} get a gradient of exactly 0, at the first step and at the last, "
            f"though the cell is called {len(fresh[0].layers)} times: the state that they multiply is 0 at every call, and remembers nothing."
        ),
        advice="Make the state once, before the loop, and hand on what the cell returns: h, c = cell(x[:, t], (h, c)).",
        confidence=0.95,
        sources=("hochreiter1997",),
    )


def _passed_by(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    kinds = {graph.site(one.site).operation for one in shut}
    chosen = kinds <= {"softmax", "scaled_dot_product_attention"}
    why = (
        "has one place alone to look at in each row, whatever the scores say"
        if chosen
        else "takes a part of what enters it, and theirs is not in it"
    )
    reason = (
        f"Nothing is heard of {{layers}}: {{sites}} ({graph.site(shut[0].site).operation}) {why}. Their gradient is exactly 0, at the first step "
        "and at the last, and they never move."
    )
    advice = (
        "Look at the mask: is it the wrong way round?"
        if chosen
        else "Look at the index or slice: which part is it meant to take?"
    )
    sources = ("vaswani2017attention",) if chosen else ("karpathy2019",)
    return _starving(graph, shut, reason, advice, informs=informs, sure=0.95, sources=sources)


def _dropped(graph: Graph, dropped: list[Dropped], *, informs: bool) -> Finding:
    # What gives the results comes first, then what these are made of.
    last = sorted({max(one.layers) for one in dropped})
    layers = [*last, *sorted({index for one in dropped for index in one.layers} - set(last))]
    ends = [graph.site(one.end) for one in dropped]
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=tuple(graph.site(index).name for index in layers),
        where=ends[0].where,
        evidence=(Evidence("trained layers whose result nothing takes", float(len(layers)), "layers"),),
        reason=(
            f"What {listed([end.name for end in ends])} {'gives' if len(ends) == 1 else 'give'} goes nowhere: no output, no loss and nothing "
            f"that learns is made of it, so {listed([graph.site(index).name for index in layers])} "
            + (
                "runs, gets no gradient and stays as it was drawn."
                if len(layers) == 1
                else "run, get no gradient and stay as they were drawn."
            )
        ),
        advice="Keep what the call returns and go on with it (x = block(x)); an iterator that was read to its end gives nothing more.",
        confidence=0.9,
        sources=("paszke2017",),
    )


def _empty(graph: Graph, layers: list[int], *, informs: bool) -> Finding:
    names = [graph.site(index).name for index in layers]
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=tuple(names),
        where=graph.site(layers[0]).where,
        evidence=(Evidence("layers with an axis of length 0", float(len(layers)), "layers"),),
        reason=f"{listed(names)} have no unit: an axis of their weights has length 0, so all that they can add is 0, or a bias.",
        advice="Give them at least one unit: int(width * share) is 0 where the share is below 1 / width; take max(1, ...) of it.",
        confidence=0.95,
        sources=("paszke2017",),
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
