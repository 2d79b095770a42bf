"""A mask the other way round."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.remedies.masks import MASKING
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("vaswani2017attention",), rank=0)
def turned_mask(graph: Graph) -> Prescription | str:
    """Attentions that read padding alone are given the opposite of their mask.

    What it changes: what the mask left out is read, and what it let through is left out.

    When not to: where what is read is the same for all for another reason: a memory that every example shares.
    """
    found = one_for_all(graph)
    if found is None or found.how != "attended":
        return "no attention reads the same at every example"
    attending = [s.order for s in graph.run.sites if s.operation in ("softmax", "scaled_dot_product_attention")]
    below = graph.ancestors(attending) | set(attending)
    masking = [s.name for s in graph.run.sites if s.order in below and s.operation in MASKING and s.phase == "model"]
    if not masking:
        return "no mask is given to it"
    return Prescription(
        turned_masks=tuple(masking), why="what is to be read was left out, and the padding was read: turn the mask"
    )
