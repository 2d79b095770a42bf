"""Weights that another network makes, used with their history."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_WRITES = ("set", "copy", "setitem")


@remedy(treats=("severed-gradient",), changes="function", sources=("paszke2017",), rank=1)
def handed_weights(graph: Graph) -> Prescription | str:
    """What is written into the parameters of a layer is handed to it as its weights.

    What it changes: no value; what makes the weights gets their gradient, and the layer's own parameters are no longer trained.

    When not to: where the weights are a copy on purpose: a moving average, a target network.
    """
    cut = find_cut(graph)
    above = set[int]() if cut is None else graph.descendants([cut.site]) | {cut.site}
    into = {index for parameter in graph.run.parameters for index in parameter.sites}
    pairs = [
        (site.name, graph.site(user).name)
        for site in graph.run.sites
        if site.order in above & into and site.operation in _WRITES
        for user in graph.consumers.get(site.order, [])
        if graph.site(user).kind == "weight"
    ]
    if cut is None or not pairs:
        return "nothing that the network makes is written into a layer's parameters"
    open_ = {cut.site} | graph.ancestors([cut.site]) | above
    through = [s for s in graph.run.sites if s.order in open_ and not s.differentiable and s.operation not in _WRITES]
    return Prescription(
        handed=tuple(pairs),
        removed=tuple(site.name for site in through if site.operation in ("data", "detach")),
        revealed=tuple(site.name for site in through if site.operation not in ("data", "detach")),
        why="a parameter that is written into keeps no history: call the layer's function with the weights that were made",
    )
