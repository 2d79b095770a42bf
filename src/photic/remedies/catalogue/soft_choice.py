"""The gradient of a softmax for what argmax chooses."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-nondifferentiable",), changes="function", sources=("bengio2013",), rank=1)
def soft_choice(graph: Graph) -> Prescription | str:
    """What argmax chooses from a table is looked up as before, and the scores get the gradient of a softmax.

    What it changes: the gradient alone: that of the table weighted by the softmax of the scores (straight-through).

    When not to: where the choice is an action whose outcome is not differentiable; take a policy gradient there.
    """
    pairs: list[tuple[str, str]] = []
    for site in graph.run.sites:
        if site.operation != "argmax" or site.phase != "model":
            continue
        for after in graph.consumers.get(site.order, []):
            if graph.site(after).operation == "embedding":
                pairs.append((site.name, graph.site(after).name))
    if not pairs:
        return "no argmax chooses from a table"
    return Prescription(choices=tuple(pairs), why="argmax passes no gradient; the softmax of its scores lends its own")
