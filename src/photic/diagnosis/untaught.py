"""Untaught terms: summands of the loss that are made from trained layers and teach none of them."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.cuts import FLAT_STEPS, NOT_DIFFERENTIABLE
from photic.diagnosis.graph import Graph
from photic.records.sites import Parameter

# What passes nothing without anybody's having asked for it: `detach` and `no_grad` are asked for.
_UNASKED = {*NOT_DIFFERENTIABLE, *FLAT_STEPS, "grad"}

_STRAIGHT = (
    "relu",
    "leaky_relu",
    "relu6",
    "hardtanh",
    "prelu",
    "rrelu",
    "threshold",
    "abs",
)  # their second derivative is 0

ALL_BUT = 0.9  # `learning.learns` asks for a loss of at most this share of the first


@dataclass(frozen=True)
class UntaughtTerm:
    """A summand of the loss that no trained parameter hears of.

    Attributes:
        term: site of the summand.
        cut: the operation in it that passes nothing; `grad` is a derivative that was taken without `create_graph`, or that is 0 everywhere.
        share: its share of the sizes of all summands.
        parameters: trained parameters that take part in it.
    """

    term: int
    cut: int
    share: float
    parameters: tuple[Parameter, ...]


def untaught_term(graph: Graph, *, most: float = 0.5) -> UntaughtTerm | None:
    """Return a summand that is more than `most` of the loss and trains nothing, beside one that does; None without one.

    More than half means that most of what is to be made small is out of reach of every parameter; a small penalty without a slope
    is left alone. A count may be added for show: of one it must be more than `ALL_BUT`, beside which the rest could not fall as far
    as a loss falls that counts as learned.
    """
    terms = _terms(graph)
    total = sum(map(abs, terms.values()))
    if len(terms) < 2 or not total > 0.0 or not any(_teaches(graph, term) for term in terms):
        return None
    for term, value in terms.items():
        made = graph.ancestors([term]) | {term}
        if abs(value) <= most * total or _teaches(graph, term):
            continue
        taking_part = _parameters(graph, made)
        cut = next((index for index in sorted(made) if _unasked(graph, index)), None)
        counted = cut is not None and graph.site(cut).operation != "grad"
        if counted and abs(value) <= ALL_BUT * total:
            continue
        if cut is not None and taking_part and not _parameters(graph, _open_below(graph, term)):
            return UntaughtTerm(term, cut, abs(value) / total, taking_part)
    return None


def _terms(graph: Graph) -> dict[int, float]:
    """Return the value of each summand, as they stand in the sum that is the loss."""
    last = graph.run.sites[-1] if graph.run.sites else None
    pending, found = [] if last is None or last.phase != "loss" else [last.order], dict[int, float]()
    while pending:
        index = pending.pop()
        sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        signal, site = graph.reading(index).signal, graph.site(index)
        if site.operation in ("add", "sub") and len(sources) > 1 and all(not graph.site(s).shape for s in sources):
            pending += sources
        elif signal is not None and not signal.nonfinite and signal.count == 1:
            found[index] = signal.mean
    return found


def _unasked(graph: Graph, index: int) -> bool:
    site = graph.site(index)
    if site.operation in FLAT_STEPS:
        return graph.reading(index).gain in (0.0, None)
    if flat_slope(graph, index):
        return True
    return site.operation in _UNASKED and not site.differentiable


def unrecorded(graph: Graph) -> list[int]:
    """Return the derivatives that the forward takes without a history and makes outputs, or something that learns, of."""
    live = {site.order for site in graph.run.sites if graph.gradient_norm(site.order)} | set(graph.run.outputs)
    return [
        site.order
        for site in graph.run.sites
        if site.operation == "grad" and site.phase == "model" and not site.differentiable
        and not live.isdisjoint(graph.descendants([site.order]))
    ]  # fmt: skip


def flat_slope(graph: Graph, index: int) -> list[int]:
    """Return the activations of straight pieces below a derivative that is 0 everywhere, at the first reading and at the last."""
    sizes = [each.reading(index).signal for each in (graph.first, graph.last)]
    if graph.site(index).operation != "grad" or any(size is None or size.rms > 0.0 for size in sizes):
        return []
    return [below for below in sorted(graph.ancestors([index])) if graph.site(below).operation in _STRAIGHT]


def _teaches(graph: Graph, term: int) -> bool:
    """Whether a gradient comes from the summand to a trained parameter."""
    seen, pending = {term}, [term] if graph.gradient_norm(term) else []
    while pending:
        for source, reading in graph.feeders.get(pending.pop(), []):
            if source >= 0 and source not in seen and reading.gradient_norm:
                seen.add(source)
                pending.append(source)
    return bool(graph.gradient_norm(term)) and bool(_parameters(graph, seen))


def _open_below(graph: Graph, term: int) -> set[int]:
    """Return what flows into a summand on ways that no unasked cut closes: what is cut there was cut on purpose."""
    seen, pending = {term}, [term]
    while pending:
        index = pending.pop()
        if not _unasked(graph, index):
            new = {source for source, _ in graph.feeders.get(index, []) if source >= 0} - seen
            seen |= new
            pending += new
    return {index for index in seen if not _unasked(graph, index)}


def _parameters(graph: Graph, sites: set[int]) -> tuple[Parameter, ...]:
    return tuple(p for p in graph.run.parameters if p.trainable and not sites.isdisjoint(p.sites))
