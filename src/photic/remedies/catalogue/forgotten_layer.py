"""Layers that are made and never called, called where they stand among the others."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.untold import forgotten
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("paszke2017", "he2016"), rank=2)
def forgotten_layer(graph: Graph) -> Prescription | str:
    """A layer, or a stretch of them, that no forward calls gives its part to the layer after which it would come next.

    What it changes: that layer is called on x + layer(x) in place of x; a single layer gets a ReLU, without which the sum would be linear.

    When not to: where the layer is for another use of the model (a decoder, a head of another task), or is left over.
    """
    found = forgotten(graph)
    if not found:
        return "every layer is called, or fits nowhere between those that are"
    names = ", ".join(dict.fromkeys(name for name, _, _ in found))
    return Prescription(
        put_in=tuple((name, graph.site(index).name, bare) for name, index, bare in found),
        why=f"{names}: made, and never called",
    )
