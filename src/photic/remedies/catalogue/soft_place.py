"""The mean place under the softmax of the scores."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-nondifferentiable",), changes="function", sources=("bridle1990",), rank=1)
def soft_place(graph: Graph) -> Prescription | str:
    """Soft-argmax: numbers computed from the place of the largest score become their mean under the softmax of the scores.

    What it changes: a coordinate between the places in the place of that of the largest; it has a slope for all scores.

    When not to: where the place is a name, not a quantity: between two classes there is none.
    """
    cut = find_cut(graph)
    if cut is None or graph.site(cut.site).operation != "argmax":
        return "no argmax severs the gradient"
    chain, ends = _chain(graph, cut.site)
    scores = [graph.site(source).shape for source, _ in graph.feeders.get(cut.site, []) if source >= 0]
    if not ends or [len(shape) for shape in scores] != [2]:
        return "no numbers are computed from the place alone"
    names = tuple(graph.site(index).name for index in (cut.site, *chain))
    last = tuple(graph.site(index).name for index in ends)
    return Prescription(places=((names, last),), why="the mean place under a softmax has a slope where argmax has none")


def _chain(graph: Graph, start: int) -> tuple[list[int], list[int]]:
    """Return what computes with whole numbers made of the place, and what makes numbers of them; nothing where they index."""
    whole, ends = [start], list[int]()
    for site in graph.run.sites:
        sources = {source for source, _ in graph.feeders.get(site.order, [])}
        if site.order == start or sources.isdisjoint(whole):
            continue
        if not sources <= set(whole) or site.kind == "weight" or site.operation == "one_hot":
            return [], []
        (ends if site.dtype.startswith(("float", "bfloat")) else whole).append(site.order)
    return whole[1:], ends
