"""Weights that another network makes, used with their history."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.records.runs import ParameterReading
from photic.records.sites import Parameter
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_WRITES = ("set", "copy", "setitem")
_WHY = "a parameter that is written into keeps no history: call the layer's function with the weights that were made"


@remedy(treats=("severed-gradient", "idle-layer"), changes="function", sources=("paszke2017",), rank=1)
def handed_weights(graph: Graph) -> Prescription | str:
    """What is written into the parameters of a layer is handed to it as its weights.

    What it changes: no value; what makes the weights gets their gradient, and the layer's own parameters are no longer trained.

    When not to: where the weights are a copy on purpose: a moving average, a target network.
    """
    cut = find_cut(graph)
    above = _made_of_parameters(graph) if cut is None else graph.descendants([cut.site]) | {cut.site}
    into = {index for parameter in graph.run.parameters for index in parameter.sites}
    pairs = [
        (site.name, graph.site(user).name)
        for site in graph.run.sites
        if site.order in above & into and site.operation in _WRITES
        for user in graph.consumers.get(site.order, []) or _users(graph, site.order)
        if graph.site(user).kind == "weight"
    ]
    if not pairs:
        return "nothing that the network makes is written into a layer's parameters"
    if cut is None:
        return Prescription(handed=tuple(pairs), why=_WHY)
    open_ = {cut.site} | graph.ancestors([cut.site]) | above
    through = [s for s in graph.run.sites if s.order in open_ and not s.differentiable and s.operation not in _WRITES]
    return Prescription(
        handed=tuple(pairs),
        removed=tuple(site.name for site in through if site.operation in ("data", "detach")),
        revealed=tuple(site.name for site in through if site.operation not in ("data", "detach")),
        why=_WHY,
    )


def _users(graph: Graph, write: int) -> list[int]:
    """Return the sites that use the parameter that a call writes into."""
    return [index for p, _ in graph.parameters.get(write, []) for index in p.sites if index > write]


def _made_of_parameters(graph: Graph) -> set[int]:
    """Return the sites that write what is made of other parameters, with its history, where none of these gets a gradient."""
    untold = {p.name for p, reading in _read(graph) if p.trainable and reading.gradient is None}
    found: set[int] = set()
    for site in (each for each in graph.run.sites if each.operation in _WRITES):
        below = graph.ancestors([site.order])
        used = {p.name for index in below for p, _ in graph.parameters.get(index, [])}
        recorded = all(
            graph.site(source).differentiable for source, _ in graph.feeders.get(site.order, []) if source >= 0
        )
        if recorded and used and used <= untold:
            found.add(site.order)
    return found


def _read(graph: Graph) -> list[tuple[Parameter, ParameterReading]]:
    return list(zip(graph.run.parameters, graph.run.steps[graph.step].parameters, strict=True))
