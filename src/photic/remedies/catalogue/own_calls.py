"""Layers beside one that is called in their stead, each called once."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.untold import never_run
from photic.records.sites import Parameter
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer", "rank-collapse", "mixed-examples"), changes="function", sources=("paszke2017",), rank=1)
def own_calls(graph: Graph) -> Prescription | str:
    """Where one of several layers of a kind is called as often as there are of them, and the others never run, each call takes the next.

    What it changes: which weights a call uses: `heads[k](h)` with its own k, where a function that was made in a loop sees the last one.

    When not to: where the weights are to be shared, and the other layers are left over.
    """
    found: dict[str, tuple[str, str]] = {}
    idle = {p.name for p in never_run(graph)}
    for used in graph.run.parameters if idle else ():
        if len(used.sites) < 2:
            continue
        for prefix, key, suffix in _splits(used.name):
            siblings = _siblings(graph, idle, used, prefix, key, suffix)
            if len(siblings) == len(used.sites):
                calls = zip(sorted(used.sites), siblings, strict=True)
                found |= {graph.site(site).name: (f"{prefix}.{key}", f"{prefix}.{own}") for site, own in calls}
    if not found:
        return "no layer is called in the stead of others of its kind"
    return Prescription(own_calls=found, why="each call with the layer of its own, not all with the last one")


def _splits(name: str) -> list[tuple[str, str, str]]:
    parts = name.split(".")
    return [(".".join(parts[:i]), parts[i], ".".join(parts[i + 1 :])) for i in range(1, len(parts) - 1)]


def _siblings(graph: Graph, idle: set[str], used: Parameter, prefix: str, key: str, suffix: str) -> list[str]:
    """Return the keys of the layers of a kind in their order, of which all but one never run."""
    keys: list[str] = []
    for p in graph.run.parameters:
        for here, own, end in _splits(p.name):
            alike = (here, end) == (prefix, suffix) and p.shape == used.shape
            if alike and (own == key or p.name in idle or (len(p.shape) < 2 and not p.sites)):
                keys.append(own)
    return keys
