"""The last of several states in the place of the first."""

from __future__ import annotations

from itertools import pairwise

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

FEWEST = 3  # states that are put together


@remedy(treats=("idle-layer", "class-prior-only"), changes="function", sources=("chen2018",), rank=1)
def last_entry(graph: Graph) -> Prescription | str:
    """Of states that are made one of the other and put together, `torch.stack(states)[0]`, the last is taken, where only the first is heard.

    What it changes: the answer is read off the state at the end, which all steps have made, in place of the one at the start.

    When not to: where the first state is what is asked for.
    """
    names: list[str] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if site.operation != "getitem" or site.phase != "model" or len(sources) != 1 or sources[0] < 0:
            continue
        stacked = graph.site(sources[0])
        states = [source for source, _ in graph.feeders.get(stacked.order, [])]
        chained = all(after in graph.descendants([before]) for before, after in pairwise(states))
        only = graph.consumers.get(stacked.order, []) == [site.order] and len(stacked.shape) == len(site.shape) + 1
        if (
            stacked.operation == "stack"
            and len(states) >= FEWEST
            and min(states) >= 0
            and only
            and chained
            and _first_alone(graph, states)
        ):
            names.append(site.name)
    if not names:
        return "no states are put together of which only the first is heard"
    return Prescription(
        last_entries=tuple(names), why="the first state is what was there before the steps: read the last"
    )


def _first_alone(graph: Graph, states: list[int]) -> bool:
    """Whether a gradient arrives at the first of the states and none at the layers that make the others."""
    made = graph.ancestors([states[-1]]) - graph.ancestors([states[0]]) - {states[0]}
    layers = [index for index in graph.layers() if index in made]
    return bool(graph.gradient_norm(states[0])) and bool(layers) and not any(graph.gradient_norm(i) for i in layers)
