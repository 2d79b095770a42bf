"""The words of layers that are lost on the way: what takes them away, passes over them, or is never asked."""

from __future__ import annotations

import math

from photic.diagnosis.cancelled import Cancelled
from photic.diagnosis.graph import Graph
from photic.diagnosis.outside import Outside
from photic.diagnosis.told_the_same import ToldTheSame
from photic.diagnosis.unheard import Dropped
from photic.diagnosis.words import listed, number, percent
from photic.records.findings import Evidence, Finding
from photic.records.sites import Parameter


def _found(
    sites: tuple[str, ...],
    where: str,
    evidence: Evidence,
    reason: str,
    advice: str,
    *,
    informs: bool,
    sure: float,
    source: str,
) -> Finding:
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "warning",
        sites=sites,
        where=where,
        evidence=(evidence,),
        reason=reason,
        advice=advice,
        confidence=sure,
        sources=(source,),
    )


def cancelled_words(graph: Graph, found: Cancelled, *, informs: bool) -> Finding:
    """Say that what is given to all alike, or taken away from itself, makes no difference."""
    names = [graph.site(index).name for index in found.layers]
    source, site = graph.site(found.source), graph.site(found.site)
    gets = f"{listed(names)} {'gets' if len(names) == 1 else 'get'} no gradient beyond rounding"
    if found.how == "two ways":
        reason = (
            f"What {source.name} gives comes to {site.name} by two ways, by one of them with the opposite sign: it is taken away from itself, at the "
            f"first step and at the last, so {gets}."
        )
        advice = "A mean over one number is that number, and less its own mean it is 0: take the mean before one is chosen, or over another axis."
    elif found.how == "row":
        reason = (
            f"All examples of a batch are given rows of {source.name} that {_taker(graph, found)} takes away again: what the examples pass back to a "
            f"row adds up to nothing, at the first step and at the last, so {gets}."
        )
        advice = f"Add what {source.name} gives behind {_taker(graph, found)}, or mix the batches."
    else:
        numbers = math.prod(site.shape) // max(1, math.prod(source.shape))
        reason = (
            f"What {source.name} gives {'multiplies' if site.operation == 'mul' else 'is added to'} all {numbers} numbers of an example alike at "
            f"{site.name}, and {_taker(graph, found)}"
            f"{' takes it away again' if found.normaliser is not None else ' takes no notice of it'}: what these numbers pass back adds up to "
            f"nothing, at the first step and at the last, so {gets}."
        )
        advice = f"Give {source.name} a number for each of the {numbers}" + (
            ", or put it behind what takes it away."
            if found.normaliser is not None
            else ": one for all of them says nothing, unless an activation comes between."
        )
    return _found(
        tuple(names),
        site.where or source.where,
        Evidence("layers that are heard by this way alone", float(len(names)), "layers"),
        reason,
        advice,
        informs=informs,
        sure=0.9,
        source="bridle1990",
    )


def outside_words(graph: Graph, found: Outside, *, informs: bool) -> Finding:
    """Say that a map is sampled where there is nothing."""
    site, names = graph.site(found.site), [graph.site(index).name for index in found.layers]
    places = (
        "at places that lie beyond its map"
        if math.isnan(found.high)
        else f"its map at places up to {number(found.high)}"
    )
    return _found(
        tuple(names),
        site.where,
        Evidence("share of what is sampled that is 0", found.empty, "share"),
        (
            f"{site.name} samples {places}, which ends at -1 and 1: {percent(found.empty)} of what it gives is "
            f"0, so little is heard of {listed(names)}."
        ),
        "grid_sample counts from -1 at one edge to 1 at the other: 2 * pixel / (size - 1) - 1.",
        informs=informs,
        sure=0.9,
        source="jaderberg2015",
    )


def thrown_words(graph: Graph, thrown: list[Dropped], *, informs: bool) -> Finding:
    """Say that a result was not kept, though the call was made for it."""
    sites = [graph.site(one.end) for one in thrown]
    names, twins = [site.name for site in sites], sorted({site.operation for site in sites})
    return _found(
        tuple(names),
        sites[0].where,
        Evidence("results that are thrown away", float(len(names)), "sites"),
        (
            f"What {listed(names)} {'gives' if len(names) == 1 else 'give'} is thrown away, and what it was made of goes on as it was: "
            f"{listed(twins)} changes nothing in place."
        ),
        f"Keep what it gives (x = x.{twins[0]}(...)), or call {twins[0]}_, which writes in place.",
        informs=informs,
        sure=0.9,
        source="paszke2017",
    )


def one_row_words(graph: Graph, rows: list[tuple[int, int]]) -> Finding:
    """Say that one row of a table stands at all places."""
    names, places = [graph.site(index).name for index, _ in rows], graph.site(rows[0][1]).shape[-2]
    return _found(
        tuple(names),
        graph.site(rows[0][0]).where,
        Evidence("places that are given one row", float(places), "places"),
        f"Of {listed(names)} one row is read and added at all {places} places of an example alike: it tells none of them from another.",
        "Count the places along the axis on which they lie: torch.arange(x.size(1)) of x [batch, places, width].",
        informs=True,
        sure=0.85,
        source="vaswani2017attention",
    )


def used_up_words(graph: Graph, *, informs: bool) -> Finding:
    """Say that layers run in the first forward alone."""
    run = graph.run
    moved = {s for p, r in zip(run.parameters, run.steps[0].parameters, strict=True) if r.update_ratio for s in p.sites}
    idle = [index for index in graph.layers() if index not in moved] or graph.layers()
    one = len(run.used_up) == 1
    return Finding(
        problem="idle-layer",
        severity="info" if informs else "critical",
        sites=tuple(graph.site(index).name for index in idle),
        where=graph.site(idle[0]).where if idle else "",
        evidence=(Evidence("iterators over layers", float(len(run.used_up)), "attributes"),),
        reason=(
            f"{listed(list(run.used_up))} {'is an iterator' if one else 'are iterators'} (zip, map, a generator) over layers of the model: the "
            f"first forward uses {'it' if one else 'them'} up, and in all that follow the layers are skipped."
        ),
        advice="Keep a list, list(zip(a, b)), or go through the ModuleLists in the forward.",
        confidence=0.97,
        sources=("paszke2017",),
    )


def constant_words(graph: Graph, layers: list[int]) -> Finding:
    """Say that a derivative does not depend on layers."""
    names = [graph.site(index).name for index in layers]
    return _found(
        tuple(names),
        graph.site(layers[0]).where,
        Evidence("layers that no derivative depends on", float(len(names)), "layers"),
        (
            f"What {listed(names)} {'gives' if len(names) == 1 else 'give'} is part of what the forward differentiates (torch.autograd.grad), and "
            f"the derivative does not depend on it: no gradient comes, and {'it stays' if len(names) == 1 else 'they stay'} as drawn."
        ),
        "Let it come in below an activation: a summand behind the last one, w (f(x) + e), is gone from the derivative by x.",
        informs=True,
        sure=0.9,
        source="paszke2017",
    )


def summed_words(graph: Graph, summed: list[tuple[int, int]], layers: list[int], *, informs: bool) -> Finding:
    """Say that shares are added up over the axis that they were shared out over."""
    softmax, total = (graph.site(index) for index in summed[0])
    return _found(
        tuple(graph.site(index).name for index in layers),
        softmax.where,
        Evidence("axis of the softmax, and of the sum", float(softmax.settings.get("dim", -1)), "axis"),
        f"{softmax.name} shares out over an axis, and {total.name} adds up over the same: that is 1, whatever the scores are, and nothing is heard "
        f"of {listed([graph.site(index).name for index in layers])}.",
        "A softmax over the classes, topics or keys, dim=-1, and the sum over the places.",
        informs=informs,
        sure=0.95,
        source="vaswani2017attention",
    )


def same_words(graph: Graph, found: ToldTheSame, *, informs: bool) -> Finding:
    """Say that layers are told the same of every example."""
    makers, layers = ([graph.site(index).name for index in part] for part in (found.sites, found.layers))
    one = len(makers) == 1
    return _found(
        tuple(layers),
        graph.site(found.sites[0]).where,
        Evidence("layers that are told the same of every example", float(len(layers)), "layers"),
        f"{listed(makers)} {'makes' if one else 'make'} one value for all examples of what differs between them, and {listed(layers)} "
        f"{'is' if len(layers) == 1 else 'are'} given nothing else: whatever {'its' if len(layers) == 1 else 'their'} weights are, all examples get "
        "the same.",
        f"Look at what {makers[0]} is meant to do: a limit or a rounding on another scale, a norm of what has been normalised.",
        informs=informs,
        sure=0.9,
        source="glorot2010",
    )


def never_run_words(unused: tuple[Parameter, ...]) -> Finding:
    """Say that no operation takes what the optimizer holds."""
    names = [parameter.name for parameter in unused]
    one = len(names) == 1
    return _found(
        (),
        "",
        Evidence("matrices that no operation takes", float(len(names)), "matrices"),
        (
            f"The optimizer holds {listed(names)}, and the forward {'does not use it' if one else 'uses none of them'}: "
            f"{'it never learns' if one else 'they never learn'} on these batches."
        ),
        "Where they are meant to run, look at the condition, or the key, under which they do: a ModuleDict has words for keys, and "
        "`3 in modules` is false where the key is '3'.",
        informs=True,
        sure=0.8,
        source="paszke2017",
    )


def _taker(graph: Graph, found: Cancelled) -> str:
    return "a softmax, or the loss itself," if found.normaliser is None else graph.site(found.normaliser).name
