"""The last state of one recurrent layer as the first of another."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.probes.time_axis import FUSED
from photic.records.sites import Site
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer", "severed-gradient"), changes="function", sources=("cho2014",), rank=1)
def handed_state(graph: Graph) -> Prescription | str:
    """Where nothing takes what a recurrent layer makes, a later one of its kind and size starts from the state that it ends in.

    What it changes: the decoder begins with what the encoder has read, in place of zeros.

    When not to: where the two are to know nothing of each other.
    """
    pairs: list[tuple[str, str]] = []
    layers = [site for site in graph.run.sites if site.operation in FUSED and site.phase == "model"]
    for source in layers:
        if graph.consumers.get(source.order) or source.order in graph.run.outputs:
            continue
        taker = next((site for site in layers if site.order > source.order and _fits(graph, source, site)), None)
        if taker is not None:
            pairs.append((source.name, taker.name))
    if not pairs:
        return "no recurrent layer ends in a state that nobody takes, before another of its kind and size"
    return Prescription(
        states=tuple(pairs), why="what the first layer has read is in the state that it ends in: begin with it"
    )


def _fits(graph: Graph, source: Site, taker: Site) -> bool:
    """Whether a layer that is heard keeps as many states as another, in layers of the same number."""
    matrices = [
        sorted(parameter.shape for parameter, _ in graph.parameters.get(site.order, []) if _recurrent(parameter.name))
        for site in (source, taker)
    ]
    heard = graph.gradient_norm(taker.order) is not None
    return source.operation == taker.operation and matrices[0] == matrices[1] != [] and heard


def _recurrent(name: str) -> bool:
    return name.rpartition(".")[2].startswith("weight_hh")
