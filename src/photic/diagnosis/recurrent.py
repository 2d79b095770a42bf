"""Layers that take the first axis for time: recurrent ones, and attentions that go along the examples."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.records.sites import Site


def time_first(graph: Graph) -> list[Site]:
    """Return them; packed sequences, which have one axis less, say by themselves whose each row is."""
    return [site for site in graph.run.sites if site.settings.get("batch_first") == 0 and len(site.shape) == 3]


def attends_examples(graph: Graph) -> list[Site]:
    """Return the attentions of torch's modules that go along the axis of the examples: `batch_first` is False, and they lie along the first.

    Into the module go maps [examples, places, features] of as many examples as there are answers, and the attention runs over that many, the
    places beside each other.
    """
    outputs = graph.run.outputs
    if not outputs:
        return []
    examples = graph.site(outputs[-1]).shape[:1]
    entered: dict[str, Site] = {}
    for site in graph.run.sites:
        if site.module_type == "MultiheadAttention":
            entered.setdefault(site.module, site)
    found: list[Site] = []
    for site in graph.run.sites:
        first = entered.get(site.module)
        scores = site.operation == "softmax" and site.shape[-1:] == examples
        along = scores or (site.kind == "attention" and site.shape[-2:-1] == examples)
        if first is None or not along or len(first.shape) != 3 or first.shape[:1] != examples:
            continue
        if first.shape[1] not in (1, *examples):
            found.append(site)
    return found


def longest_sequence(graph: Graph, *operations: str) -> int:
    """Return the number of steps of the longest sequence that a fused recurrent layer of these kinds goes along; 0 without one."""
    times = [graph.reading(site.order).times for site in graph.run.sites if site.operation in operations]
    return max((len(one.gradient_norms) for one in times if one is not None), default=0)
