"""Silenced: operations through which nothing passes, from the first step to the last, and the layers that learn nothing below."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.cuts import FLAT_STEPS
from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import QUOTIENTS
from photic.diagnosis.softmaxes import length
from photic.records.runs import ParameterReading

# What takes, weighs and adds up: kinds, and operations of no kind. What cuts a signal off is an activation, whoever wrote it.
_TAKES = {"weight", "shape", "attention", "matmul", "mm", "bmm", "baddbmm", "einsum", "tensordot", "sum", "mean", "scatter_add",
          "scatter_reduce", "index_reduce", "segment_reduce", "add", "mul"}  # fmt: skip
# What gives a part of what it takes, or shares that no score moves where there is one place alone.
_PASSES_BY = ("getitem", "narrow", "select", "split", "chunk", "unbind", "softmax", "scaled_dot_product_attention")
TURNS = 3  # of a loop
_CASTS = ("float", "double", "half", "to", "type", "long", "int")
_JOINS = ("cat", "concat", "stack", "hstack")
_SAME = 1e-4  # of a ratio: a weight that decay alone moves keeps its shape


@dataclass(frozen=True)
class Silenced:
    """A site that passes no gradient although some arrives, and the trained layers below it that never moved."""

    site: int
    layers: tuple[int, ...]


def silenced(graph: Graph) -> list[Silenced]:
    """Return the sites of the model that pass exactly no gradient at the first reading and at the last, and starve layers.

    A factor that is learned, and opens, passes something at the last; what is left out at random lets its layers move between.
    """
    if len(graph.run.steps) < 2:
        return []
    first, last = graph.first, graph.last
    found: list[Silenced] = []
    for site in graph.run.sites:
        if site.phase != "model" or not all(_blocks(each, site.order) for each in (first, last)):
            continue
        below = graph.ancestors([site.order])
        starved = tuple(index for index in graph.layers() if index in below and _starved(first, last, index))
        if starved:
            found.append(Silenced(site.order, starved))
    return found


def multiplied_by_nothing(graph: Graph) -> list[Silenced]:
    """Return those that give exactly 0 of a signal that is not 0, or whose factor is written as 0: a product, a dropout."""
    return [one for one in silenced(graph) if all(_nothing(each, one.site) for each in (graph.first, graph.last))]


def nothing_made(graph: Graph) -> list[Silenced]:
    """Return the sites that make exactly 0 of what is not 0, or of nothing, first and last, and starve layers below and right above.

    A product of weights with nothing but padding, or with a state that is made anew, a sum along no edge, a choice of no place. Layers
    that take the zeros, and have no bias, learn nothing either.
    """
    if len(graph.run.steps) < 2:
        return []
    first, last = graph.first, graph.last
    found: list[Silenced] = []
    for site in graph.run.sites:
        if site.phase != "model" or _TAKES.isdisjoint((site.kind, site.operation)):
            continue
        arrives = all(bool(each.gradient_norm(site.order)) for each in (first, last))
        rounds = rounded_to_nothing(first, site.order) if arrives else None
        if not arrives or (
            not all(_zeros(each, site.order) for each in (first, last))
            and (rounds is None or rounds != rounded_to_nothing(last, site.order))
        ):
            continue
        around = graph.ancestors([site.order]) | {site.order} | set(graph.consumers.get(site.order, []))
        starved = tuple(index for index in graph.layers() if index in around and _starved(first, last, index))
        if starved:
            found.append(Silenced(site.order if rounds is None else rounds, starved))
    return found


def rounded_to_nothing(graph: Graph, index: int) -> int | None:
    """Return what rounds to 0 all that enters a site, whole numbers among it; None where something else is 0, or nothing."""
    if _size(graph, index) != 0.0:
        return None
    pending = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
    seen: set[int] = set()
    while pending:
        here = pending.pop()
        if here in seen:
            continue
        seen.add(here)
        if graph.site(here).operation in (*QUOTIENTS, *FLAT_STEPS):
            return here
        if (graph.site(here).kind == "shape" or graph.site(here).operation in _CASTS) and not _size(graph, here):
            pending += [source for source, _ in graph.feeders.get(here, []) if source >= 0]
    return None


def masked_whole(graph: Graph) -> list[Silenced]:
    """Return the layers that use a trained matrix times zeros, first and last: nothing is left of it, and it gets a gradient of exactly 0.

    Or that is 0 itself, and something enters the layer and a gradient arrives, of which its weights are told nothing.

    The site is the product that makes zeros of it, where that is one; the layers are that layer, and those that starve below.
    """
    if len(graph.run.steps) < 2:
        return []
    first, last = graph.first, graph.last
    found: list[Silenced] = []
    for index in graph.layers():
        facts = [each.reading(index).weight for each in (first, last) if each.gradient_norm(index)]
        if sum(fact is not None and fact.row_square_sum == 0.0 for fact in facts) < 2:
            continue
        late = {p.name: reading for p, reading in last.parameters.get(index, [])}
        own = [
            (p, r)
            for p, r in first.parameters.get(index, [])
            if p.trainable and len(p.shape) > 1 and (r.weight.rms > 0.0 or untaught(first, index))
        ]
        if not own or not all(_still(reading, late[p.name]) for p, reading in own):
            continue
        made = [place for p, _ in own for place in p.sites if place != index and _size(graph, place) == 0.0]
        below = graph.ancestors([index])
        starved = [layer for layer in graph.layers() if layer in below and _starved(first, last, layer)]
        found.append(Silenced(made[-1] if made else index, (index, *starved)))
    return found


def untaught(graph: Graph, index: int) -> bool:
    """Whether something that is not 0 enters a site and a gradient arrives, so that its weights get one unless something takes it away."""
    entering = [graph.reading(source).signal for source, _ in graph.feeders.get(index, []) if source >= 0]
    given = entering or [graph.run.inputs]
    told = all(signal is not None and signal.rms > 0.0 for signal in given)
    return told and bool(graph.gradient_norm(index)) and graph.site(index).kind == "weight"


def fresh_cells(graph: Graph) -> list[Silenced]:
    """Return the recurrent cells, called several times over, whose recurrent matrix alone gets a gradient of exactly 0 and never moves.

    What it is multiplied by is 0 at every call: a state that is made anew. The layers are all calls.
    """
    if len(graph.run.steps) < 2:
        return []
    late = {p.name: reading for index in graph.layers() for p, reading in graph.last.parameters.get(index, [])}
    found: list[Silenced] = []
    for parameter, reading in zip(graph.run.parameters, graph.run.steps[0].parameters, strict=True):
        cells = [index for index in parameter.sites if graph.site(index).operation.endswith("_cell")]
        if len(cells) < TURNS or len(parameter.shape) < 2 or parameter.name not in late or not parameter.trainable:
            continue
        others = [
            r for p, r in graph.first.parameters.get(cells[0], []) if p.name != parameter.name and len(p.shape) > 1
        ]
        heard = any(r.gradient is not None and r.gradient.rms > 0.0 for r in others)
        if heard and _still(reading, late[parameter.name]):
            found.append(Silenced(cells[0], tuple(cells)))
    return found


def passed_by(graph: Graph) -> list[Silenced]:
    """Return the cuts out of a signal, and the attentions with one place to look at, that give starved layers a gradient of exactly 0.

    The gradient arrives at the site, and none of it at any of the layers, at the first reading and at the last.
    """
    if len(graph.run.steps) < 2:
        return []
    first, last = graph.first, graph.last
    ends: dict[int, list[int]] = {}
    for layer in graph.layers():
        end = _silent_end(first, last, layer) if _starved(first, last, layer) else None
        while end is not None and graph.site(end).operation in _JOINS:  # a slice of what is put side by side
            end = min(graph.consumers.get(end, []), default=None)
        if end is not None:
            ends.setdefault(end, []).append(layer)
    return [
        Silenced(end, tuple(layers))
        for end, layers in sorted(ends.items())
        if graph.site(end).operation in _PASSES_BY and _at_one_place(graph, end)
    ]


def _at_one_place(graph: Graph, index: int) -> bool:
    """Whether each row of a softmax has one place alone, of several; what is no softmax, or hides its shares, may have."""
    shares = graph.reading(index).shares
    if graph.site(index).operation == "softmax" and length(graph, index) == 1:
        return False  # of one alone: another rule's
    return shares is None or shares.certain > 0.999


def _silent_end(first: Graph, last: Graph, layer: int) -> int | None:
    """Return the first site above a layer at which a gradient arrives, at both readings; None where one arrives in none."""
    pending, seen = [layer], {layer}
    while pending:
        index = pending.pop(0)
        if all(bool(each.gradient_norm(index)) for each in (first, last)):
            return index
        above = [place for place in sorted(first.consumers.get(index, [])) if place not in seen]
        seen.update(above)
        pending += above
    return None


def never_exceeded(graph: Graph) -> list[Silenced]:
    """Return those that take the larger of the signal and a threshold, element by element, where the threshold always is."""
    found: list[Silenced] = []
    for one in silenced(graph):
        site = graph.site(one.site)
        entering = [graph.site(source).shape for source, _ in graph.feeders.get(one.site, []) if source >= 0]
        if site.operation in ("max", "maximum") and site.shape in entering:
            found.append(one)
    return found


def _blocks(graph: Graph, index: int) -> bool:
    return bool(graph.gradient_norm(index)) and graph.reading(index).gain == 0.0


def _nothing(graph: Graph, index: int) -> bool:
    site, signal = graph.site(index), graph.reading(index).signal
    if site.operation not in ("mul", "dropout") or signal is None or signal.rms > 0.0 or signal.nonfinite:
        return False
    entering = [graph.reading(source).signal for source, _ in graph.feeders.get(index, []) if source >= 0]
    heard = any(one is not None and one.rms > 0.0 for one in entering)
    return heard or (site.operation == "mul" and site.settings.get("other") == 0)


def _zeros(graph: Graph, index: int) -> bool:
    """Whether a site makes numbers, all of them 0, of a signal that is not 0 or of an empty one."""
    signal = graph.reading(index).signal
    if signal is None or not signal.count or signal.rms > 0.0 or signal.nonfinite:
        return False
    entering = [graph.reading(source).signal for source, _ in graph.feeders.get(index, []) if source >= 0]
    if not graph.feeders.get(index) and (facts := graph.reading(index).weight) is not None:
        return facts.row_square_sum > 0.0  # a product with numbers that no site made
    return any(one is not None and (one.rms > 0.0 or one.count == 0) for one in entering)


def _size(graph: Graph, index: int) -> float | None:
    signal = graph.reading(index).signal
    return None if signal is None else signal.rms


def _starved(first: Graph, last: Graph, index: int) -> bool:
    """Whether no trained parameter of a layer gets a gradient or moves, though the layer is not all 0."""
    early = {p.name: reading for p, reading in first.parameters.get(index, []) if p.trainable and p.owned is not False}
    late = {p.name: reading for p, reading in last.parameters.get(index, [])}
    return bool(early) and all(_still(reading, late[name]) for name, reading in early.items())


def _still(early: ParameterReading, late: ParameterReading) -> bool:
    gradients = (early.gradient, late.gradient)
    if any(gradient is None or gradient.rms > 0.0 or gradient.nonfinite for gradient in gradients):
        return False
    if early.weight == late.weight:
        return True
    if not 0.0 < late.weight.rms < early.weight.rms:
        return False
    shrunk = late.weight.rms / early.weight.rms
    return abs(late.weight.mean - shrunk * early.weight.mean) <= _SAME * late.weight.rms
