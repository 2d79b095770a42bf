"""All weights as torch draws them."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("rank-collapse", "dead-units", "weights-too-large", "weights-too-small", "saturated-attention"),
    changes="weights",
    sources=("paszke2017",),
    rank=6,
)
def default_weights(graph: Graph) -> Prescription | str:
    """Every module of torch's draws its weights anew, as it does when it is made.

    What it changes: all initial weights and biases, also those of embeddings, recurrent layers and normalisation.

    When not to: where weights were trained before, or drawn on purpose in another way.
    """
    if not graph.layers():
        return "there is no layer with weights"
    return Prescription(fresh=True, why="the weights that torch draws, in place of those that are there")
