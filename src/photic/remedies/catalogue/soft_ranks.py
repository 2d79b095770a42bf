"""Ranks with the gradient of soft ranks."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_CASTS = ("float", "to", "type", "double", "half", "type_as", "bfloat16")


@remedy(treats=("severed-nondifferentiable",), changes="function", sources=("bengio2013",), rank=1)
def soft_ranks(graph: Graph) -> Prescription | str:
    """The ranks that sorting twice gives keep their value, and what is ranked gets the gradient of soft ranks.

    What it changes: the gradient alone: that of the sum of sigmoids of the differences to all others, in deviations.

    When not to: for many thousand numbers at once: every pair is compared.
    """
    pairs: list[tuple[str, str]] = []
    for site in graph.run.sites:
        if site.operation != "argsort" or site.differentiable:
            continue
        for twice in graph.consumers.get(site.order, []):
            for number in graph.consumers.get(twice, []) if graph.site(twice).operation == "argsort" else []:
                if graph.site(number).operation in _CASTS:
                    pairs.append((site.name, graph.site(number).name))
    if not pairs:
        return "no ranks are made by sorting twice"
    return Prescription(ranks=tuple(pairs), why="ranks are whole numbers without a slope: soft ones lend theirs")
