"""Softmaxes: over how many they run, and what their shares are for."""

from __future__ import annotations

from photic.diagnosis.graph import Graph


def mixes(graph: Graph, index: int) -> bool:
    """Whether what a softmax gives multiplies another signal of the model: attention."""
    return any(
        graph.site(after).operation in ("mul", "matmul", "bmm", "einsum", "baddbmm")
        and graph.site(after).phase == "model"
        and len(graph.feeders.get(after, [])) > 1
        for after in graph.consumers.get(index, [])
    )


def length(graph: Graph, index: int) -> int:
    """Return the length of the axis over which a softmax runs; 0 where it is not known."""
    site = graph.site(index)
    axis = site.settings.get("dim", -1)
    return (
        site.shape[int(axis)]
        if site.shape and isinstance(axis, int) and -len(site.shape) <= axis < len(site.shape)
        else 0
    )
