"""A dropout whose share is that which was to be kept."""

from __future__ import annotations

from photic.diagnosis.dropped import dropped
from photic.diagnosis.graph import Graph
from photic.diagnosis.words import percent
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only", "stalled-training"), changes="function", sources=("srivastava2014",), rank=0)
def swapped_dropout(graph: Graph) -> Prescription | str:
    """The share that a dropout keeps in the place of that which it zeroes, where this is more than three quarters.

    What it changes: a dropout of 0.9 becomes one of 0.1; evaluation stays as it is.

    When not to: where the layer is so wide, and the data so few, that a tenth of it is enough.
    """
    shares = dropped(graph)
    if not shares:
        return "no dropout zeroes more than three quarters"
    return Prescription(
        dropped={graph.site(index).name: round(1.0 - share, 6) for index, share in shares},
        why=f"torch's dropout takes the share to zero, here {percent(max(share for _, share in shares))}: what is to be kept is 1 minus that",
    )
