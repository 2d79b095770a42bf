"""The words of an idle layer: one sentence for each way in which a layer is not heard."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.held_still import HeldStill
from photic.diagnosis.one_choice import OneChoice
from photic.diagnosis.silenced import Silenced
from photic.diagnosis.unheard import Dropped
from photic.diagnosis.words import listed
from photic.records.findings import Evidence, Finding


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


def shut_words(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    """Say that layers are multiplied by nothing."""
    reason = (
        "{layers} are multiplied by 0 at {sites}, at the first step and at the last: they add nothing, get a gradient of exactly 0 and never "
        "move, and nothing that is trained can open the way."
    )
    advice = "Make the factor a parameter (registered, trained, not cut off by a ReLU), or start it above 0; a dropout keeps 1 - p."
    sources = ("bachlechner2021", "srivastava2014")
    return _starving(graph, shut, reason, advice, informs=informs, sure=0.95, sources=sources)


def masked_words(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    """Say that nothing is left of weights under their mask."""
    whole = [one.layers[0] for one in shut]
    layers = [*whole, *sorted({index for one in shut for index in one.layers} - set(whole))]
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=tuple(graph.site(index).name for index in layers),
        where=graph.site(shut[0].site).where,
        evidence=(Evidence("layers of whose weights nothing is left", float(len(whole)), "layers"),),
        reason=(
            f"Of the weights of {listed([graph.site(index).name for index in whole])} nothing is left: they, or what multiplies them, are 0 "
            "everywhere, at the first step and at the last, so they get a gradient of exactly 0, and nothing passes to what lies below."
        ),
        advice="Look at the mask: one threshold for all layers empties those with small weights; prune each layer by itself.",
        confidence=0.95,
        sources=("paszke2017",),
    )


def held_words(graph: Graph, held: HeldStill, *, informs: bool) -> Finding:
    """Say that the optimizer passes matrices over, or that they are put back."""
    names = [graph.site(index).name for index in held.layers]
    one = len(held.parameters) == 1
    if held.how == "hooked":
        what = f"{'has a hook that makes' if one else 'have hooks that make'} exactly 0 of the gradient that comes"
        advice = "Look at the factor: a function made in a loop sees the last value of the loop's variable (lambda g, f=f: g * f binds it)."
    elif held.how == "passed over":
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
        reason=f"{listed(list(held.parameters))} {what}, so "
        + (
            f"{'it stays' if one else 'they stay'} as drawn."
            if held.how == "hooked"
            else f"{listed(names)} learn nothing."
        ),
        advice=advice,
        confidence=0.9,
        sources=("paszke2017",),
    )


def chosen_words(graph: Graph, choice: OneChoice, *, informs: bool) -> Finding:
    """Say that one row of a table is read for all."""
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


def zeros_words(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    """Say that a site makes exactly 0."""
    reason = (
        f"{{sites}} ({graph.site(shut[0].site).operation}) gives exactly 0, at the first step and at the last, so nothing is heard of "
        "{layers}: their gradient is exactly 0, and they never move."
    )
    advice = "See what it is given: a mask the wrong way round, a choice of nothing but padding, no place or edge at all, a state made anew."
    return _starving(graph, shut, reason, advice, informs=informs, sure=0.9, sources=("zhang2019", "srivastava2014"))


def levelled_words(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    """Say that each number is normalised by itself."""
    reason = (
        "{sites} normalises each number by itself: less its own mean it is 0, and what comes out is the bias, whatever {layers} say. "
        "No gradient reaches them, and they never move."
    )
    advice = "Leave the normalisation out, or take it over an axis of several numbers."
    return _starving(graph, shut, reason, advice, informs=informs, sure=0.95, sources=("ba2016",))


def fresh_words(graph: Graph, fresh: list[Silenced]) -> Finding:
    """Say that the state of a cell is made anew."""
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


def passed_by_words(graph: Graph, shut: list[Silenced], *, informs: bool) -> Finding:
    """Say that what is cut out, or looked at, is not theirs."""
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


def dropped_words(graph: Graph, dropped: list[Dropped], *, informs: bool) -> Finding:
    """Say that a result goes nowhere."""
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


def empty_words(graph: Graph, layers: list[int], *, informs: bool) -> Finding:
    """Say that a layer has no unit."""
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


def read_alike_words(graph: Graph, alike: list[int]) -> Finding:
    """Say that an attention reads the same of every example."""
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
