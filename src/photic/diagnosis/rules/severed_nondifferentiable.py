"""Severed by an operation without a derivative: rounding, a sign, a choice of the largest."""

from __future__ import annotations

from photic.diagnosis.cuts import NOT_DIFFERENTIABLE, find_cut, flat_steps
from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph
from photic.diagnosis.handed_none import silent_way
from photic.diagnosis.learning import learns
from photic.diagnosis.registry import rule
from photic.diagnosis.untaught import untaught_term
from photic.diagnosis.words import listed, percent
from photic.records.findings import Evidence, Finding


@rule(sources=("paszke2017", "bengio2013"))
def severed_nondifferentiable(graph: Graph, training: Training | None = None) -> Finding | None:
    """An operation that has no derivative, or one that is 0 everywhere, stands on the only way down.

    Signs: trainable parameters take part in the output, and on their only way to the loss stands an argmax, a comparison, a
    conversion to integers or a draw, through which no gradient comes back, or the place that a `max` or `sort` gives beside its
    values, or a `round`, `sign` or `floor`, through which
    exactly 0 comes. Or nearly all of the loss is a term with such an operation, and the loss does not fall to half.

    Why it matters: no error is raised; the layers below stay as they were initialised.

    False alarms: a straight-through estimator gives the rounded value a way around, and a choice that is only logged never
    meets the loss.
    """
    cut = find_cut(graph)
    if cut is not None and graph.site(cut.site).operation in NOT_DIFFERENTIABLE:
        index, lost, way = cut.site, cut.parameters, "no gradient at all"
    else:
        flat, term, place = flat_steps(graph), untaught_term(graph), silent_way(graph) if cut is None else None
        if flat is not None:
            index, lost, way = flat.site, flat.parameters, "a gradient of exactly 0"
        elif place is not None and place.by_place:
            index, lost, way = place.source, place.parameters, "no gradient at all: a place is a whole number"
        elif term is not None and graph.site(term.cut).operation != "grad" and not learns(training, 0.5):
            index, lost, way = (
                term.cut,
                term.parameters,
                f"no gradient of the term that is {percent(term.share)} of the loss",
            )
        else:
            return None
    site = graph.site(index)
    if cut is not None and cut.into_loss_only and cut.site == index:
        return None
    names = [parameter.name for parameter in lost]
    return Finding(
        problem="severed-nondifferentiable",
        severity="critical",
        sites=(site.name,),
        where=site.where,
        evidence=(Evidence("trainable parameters that it cuts off", float(len(lost)), "tensors"),),
        reason=(
            f"`{site.operation}` at {site.name}{f' ({site.where})' if site.where else ''} has no usable derivative: {listed(names)} take "
            f"part in the output and get {way}."
        ),
        advice="Use a soft form of it (softmax, sigmoid), or pass the gradient straight through: x + (round(x) - x).detach().",
        confidence=0.95,
        sources=("paszke2017", "bengio2013"),
        victims=tuple(graph.site(layer).name for layer in graph.layers() if layer in graph.ancestors([index])),
    )
