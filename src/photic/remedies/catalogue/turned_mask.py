"""A mask that lets nothing through, turned round."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.silenced import nothing_made
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_MASKING = ("mul", "where", "masked_fill", "scaled_dot_product_attention")


@remedy(treats=("idle-layer",), changes="function", sources=("vaswani2017attention",), rank=1)
def turned_mask(graph: Graph) -> Prescription | str:
    """The mask below a site that makes nothing but 0, turned round: what it shut out is let through, and the other way.

    What it changes: the last product with a mask, or choice by one, between trained layers and the site.

    When not to: where the mask is right, and there is nothing to look at.
    """
    masks: list[str] = []
    for one in nothing_made(graph):
        below = (graph.ancestors([one.site]) | {one.site}) & (graph.descendants(one.layers) | set(one.layers))
        found = [index for index in sorted(below) if graph.site(index).operation in _MASKING]
        masks += [graph.site(found[-1]).name] if found else []
    if not masks:
        return "no mask stands between trained layers and a site that makes nothing but 0"
    return Prescription(turned=tuple(masks), why="the mask lets nothing through but what is 0: turn it round")
