"""A mask the other way round."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import attended_alike, one_for_all
from photic.diagnosis.silenced import nothing_made, passed_by
from photic.remedies.masks import MASKING
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only", "idle-layer"), changes="function", sources=("vaswani2017attention",), rank=0)
def turned_mask(graph: Graph) -> Prescription | str:
    """A mask that lets through nothing but padding, or nothing at all, is turned round.

    What it changes: what the mask left out is read, and what it let through is left out: the masks of attentions that read the same at every
    example, or the last one between trained layers and a site that makes nothing but 0.

    When not to: where what is read is the same for all for another reason: a memory that every example shares.
    """
    masks = _of_padding(graph) or _of_nothing(graph) or _of_one_place(graph)
    if not masks:
        return "no mask stands before what is the same for all, or 0"
    return Prescription(
        turned_masks=tuple(masks), why="what is to be read was left out, and the padding was read: turn the mask"
    )


def _of_padding(graph: Graph) -> list[str]:
    found, attending = one_for_all(graph), attended_alike(graph)
    if found is not None and found.how == "attended":
        attending = [s.order for s in graph.run.sites if s.operation in ("softmax", "scaled_dot_product_attention")]
    below = graph.ancestors(attending) | set(attending)
    return [s.name for s in graph.run.sites if s.order in below and s.operation in MASKING and s.phase == "model"]


def _of_nothing(graph: Graph) -> list[str]:
    masks: list[str] = []
    for one in nothing_made(graph):
        below = (graph.ancestors([one.site]) | {one.site}) & (graph.descendants(one.layers) | set(one.layers))
        found = [index for index in sorted(below) if graph.site(index).operation in (*MASKING, "mul")]
        masks += [graph.site(found[-1]).name] if found else []
    return masks


def _of_one_place(graph: Graph) -> list[str]:
    """Return the last masks below attentions of which every row has one place alone to look at."""
    masks: list[str] = []
    for one in passed_by(graph):
        below = graph.ancestors([one.site]) & graph.descendants(one.layers) | {one.site}
        found = [index for index in sorted(below) if graph.site(index).operation in MASKING]
        masks += [graph.site(found[-1]).name] if found else []
    return masks
