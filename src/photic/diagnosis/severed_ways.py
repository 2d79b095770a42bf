"""Findings of a severed gradient where no call cuts a way: a backward of one's own, a sample, a derivative, x / x."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from photic.diagnosis.by_itself import divided_by_itself
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.handed_none import silent_way
from photic.diagnosis.learning import learns
from photic.diagnosis.sampled import sampled_way
from photic.diagnosis.untaught import flat_slope, unrecorded, untaught_term
from photic.diagnosis.words import listed, percent
from photic.diagnosis.wrapped import wrapped
from photic.records.findings import Evidence, Finding


def by_a_function(graph: Graph) -> Finding | None:
    """Return the finding where the backward of a custom function returns None for what it takes."""
    way = silent_way(graph)
    if way is None or way.by_place:
        return None
    taker, source = graph.site(way.taker), graph.site(way.source)
    what = f"what it takes from {source.name}" if way.source != way.taker else "the weights that it is given"
    return _finding(
        graph,
        way.taker,
        Evidence("trainable parameters without any gradient", float(len(way.parameters)), "tensors"),
        f"The autograd function `{taker.operation}` at {taker.name} gets a gradient and returns none for {what}: "
        f"{listed([p.name for p in way.parameters])} are never trained.",
        "Return the gradient of every input that the forward uses, in the order of its arguments; `torch.autograd.gradcheck` "
        "compares it with differences.",
        graph.ancestors([way.taker]),
    )


def by_a_sample(graph: Graph) -> Finding | None:
    """Return the finding where trained layers take what `sample()` drew."""
    sample = sampled_way(graph)
    if sample is None:
        return None
    site, takers = graph.site(sample.draw), [graph.site(index).name for index in sample.takers]
    return _finding(
        graph,
        sample.draw,
        Evidence("trainable parameters that hear nothing of it", float(len(sample.parameters)), "tensors"),
        f"{listed(takers)} take what `sample()` drew at {site.name}: it has no history, so {listed([p.name for p in sample.parameters])} "
        "hear nothing of what is made of it.",
        "Draw with `rsample()`, whose value moves with the distribution; `sample()` is for actions whose log probability is trained.",
        graph.ancestors([sample.draw]),
    )


def by_a_derivative(graph: Graph, training: Training | None) -> Finding | None:
    """Return the finding where most of the loss is a derivative without history, and the loss does not fall to half."""
    term = untaught_term(graph)
    if term is None or graph.site(term.cut).operation != "grad" or learns(training, 0.5):
        return _without_history(graph)
    site = graph.site(term.cut)
    if straight := flat_slope(graph, term.cut):
        kinds = sorted({graph.site(index).operation for index in straight})
        return _finding(
            graph,
            term.cut,
            Evidence("share of the loss that trains nothing", term.share, "share"),
            f"{percent(term.share)} of the loss, {graph.site(term.term).name}, is made of the derivative at {site.name}, which is 0 everywhere: "
            f"{listed(kinds)} is made of straight pieces, and bends nowhere between them. {listed([p.name for p in term.parameters])} learn of "
            "the other terms alone.",
            "An activation with as many derivatives as the equation asks for: tanh, sin, softplus, SiLU.",
            graph.ancestors([term.cut]),
            "raissi2019",
        )
    return _finding(
        graph,
        term.cut,
        Evidence("share of the loss that trains nothing", term.share, "share"),
        f"{percent(term.share)} of the loss, {graph.site(term.term).name}, is made of the derivative at {site.name}, which was taken without "
        f"`create_graph=True` and has no history: {listed([p.name for p in term.parameters])} learn of the other terms alone.",
        "torch.autograd.grad(..., create_graph=True), so that what is made of the derivative can be differentiated too.",
        graph.ancestors([term.cut]),
        "raissi2019",
    )


def _without_history(graph: Graph) -> Finding | None:
    """Return as information that outputs are made of a derivative without history, as an attack or a first-order inner loop are on purpose."""
    places = unrecorded(graph)
    if not places:
        return None
    names = [graph.site(index).name for index in places]
    found = _finding(
        graph,
        places[0],
        Evidence("derivatives without a history", float(len(places)), "sites"),
        f"What comes out is made of {listed(names)}, taken without `create_graph=True`: the derivative is a number like any other, and no "
        "weight learns of it.",
        "torch.autograd.grad(..., create_graph=True) where the derivative is to be right; retain_graph=True keeps no history of it.",
        graph.ancestors(places),
        "raissi2019",
    )
    return replace(found, severity="info", confidence=0.8)


def by_a_share_of_one(graph: Graph) -> Finding | None:
    """Return the finding where numbers are divided by a sum over each alone."""
    found = divided_by_itself(graph)
    if found is None:
        return None
    place, unheard = graph.site(found.site).name, [graph.site(index).name for index in found.layers]
    return _finding(
        graph,
        found.site,
        Evidence("layers that get rounding for a gradient", float(len(unheard)), "layers"),
        f"{place} divides each number by {graph.site(found.sum).name} over that number alone: x / x is 1 whatever x is, its slope is 0, "
        f"and no gradient reaches {listed(unheard)}.",
        "Leave the division out where one share is kept (Switch), keep two or more (Mixtral), or divide before one is chosen.",
        found.layers,
        "fedus2022",
        "jiang2024",
    )


def by_a_parameter(graph: Graph) -> Finding | None:
    """Return the finding where the forward makes parameters of what layers give."""
    made = wrapped(graph)
    if not made:
        return None
    makers, users = (
        [graph.site(i).name for i in sorted(places)]
        for places in ({m.maker for m in made}, {u for m in made for u in m.users})
    )
    below = graph.ancestors([m.maker for m in made])
    return _finding(
        graph,
        made[0].maker,
        Evidence("parameters that are made of a signal", float(len(made)), "tensors"),
        f"What {listed(makers)} {'gives' if len(makers) == 1 else 'give'} goes nowhere, and {listed(users)} "
        f"{'uses' if len(users) == 1 else 'use'} parameters of the same shape that are made anew in each forward: `nn.Parameter(...)` has "
        "the values of what it is made of, and not its history.",
        "Use the tensor itself: torch.nn.functional.linear(x, weight), or torch.func.functional_call(layer, {'weight': weight}, x).",
        below,
        "ha2017",
    )


def _finding(
    graph: Graph, place: int, evidence: Evidence, reason: str, advice: str, below: Iterable[int], *sources: str
) -> Finding:
    site = graph.site(place)
    return Finding(
        problem="severed-gradient",
        severity="critical",
        sites=(site.name,),
        where=site.where,
        evidence=(evidence,),
        reason=reason,
        advice=advice,
        confidence=0.95,
        sources=("paszke2017", *sources),
        victims=tuple(graph.site(index).name for index in sorted(below) if graph.site(index).kind == "weight"),
    )
