"""A layer under several names, made several layers."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.repeated import repeated_layers
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse",), changes="weights", sources=("paszke2017",), rank=1)
def own_copies(graph: Graph) -> Prescription | str:
    """Each name of a layer that is called several times on one value gets a layer of its own, drawn as torch does.

    What it changes: `[layer] * n` becomes n layers, and the optimizer holds all of them.

    When not to: where one layer is meant to be used on several values (shared weights over depth or time).
    """
    weights = {one.weight for one in repeated_layers(graph)}
    shared = [p.name for p in graph.run.parameters if p.name in weights and p.aliases]
    if not shared:
        return "no layer that is called several times on one value has several names"
    return Prescription(
        unshared=tuple(name.rpartition(".")[0] for name in shared),
        why="[layer] * n is one layer under n names: make n layers",
    )
