"""Softmaxes: over how many they run, and what their shares are for."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.records.sites import Site


def mixes(graph: Graph, index: int) -> bool:
    """Whether what a softmax gives multiplies another signal of the model: attention."""
    return any(
        graph.site(after).operation in ("mul", "matmul", "bmm", "einsum", "baddbmm")
        and graph.site(after).phase == "model"
        and len(graph.feeders.get(after, [])) > 1
        for after in graph.consumers.get(index, [])
    )


def over_one_key(graph: Graph) -> list[Site]:
    """Return the softmaxes of the model that share out over an axis of length 1 and multiply another signal by the share."""
    return [
        site
        for site in graph.run.sites
        if site.operation == "softmax"
        and site.phase == "model"
        and length(graph, site.order) == 1
        and mixes(graph, site.order)
    ]


def summed_whole(graph: Graph) -> list[tuple[int, int]]:
    """Return (softmax, sum) of the model where the shares are added up, or their mean taken, over the axis that they were shared out over."""
    found: list[tuple[int, int]] = []
    for site in graph.run.sites:
        takers = graph.consumers.get(site.order, []) if site.operation == "softmax" and site.phase == "model" else []
        if len(takers) != 1 or site.order in graph.run.outputs:
            continue
        taker, axis = graph.site(takers[0]), site.settings.get("dim", -1)
        over = taker.settings.get("dim")
        if taker.operation not in ("sum", "mean") or not isinstance(axis, int) or not isinstance(over, int):
            continue
        if axis % len(site.shape) == over % len(site.shape):
            found.append((site.order, taker.order))
    return found


def length(graph: Graph, index: int) -> int:
    """Return the length of the axis over which a softmax runs; 0 where it is not known."""
    site = graph.site(index)
    axis = site.settings.get("dim", -1)
    return (
        site.shape[int(axis)]
        if site.shape and isinstance(axis, int) and -len(site.shape) <= axis < len(site.shape)
        else 0
    )
