"""Logits: the softmax or sigmoid before a loss that has its own is left out."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.likelihoods import of_logarithms
from photic.diagnosis.rules.loss_saturation import loss_saturation
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("loss-saturation",), changes="function", sources=("glorot2010", "hochreiter1998"), rank=1)
def logits(graph: Graph) -> Prescription | str:
    """Logits into the loss: the model's last softmax or sigmoid is left out.

    What it changes: the model returns logits; who reads probabilities off it takes the softmax there.

    When not to: a softmax over one unit; there the number of units or the loss is to be changed. Code that uses the
    model's output as probabilities must be changed with it.
    """
    found = loss_saturation(graph)
    if found is None:
        return "no softmax or sigmoid stands before a loss that has its own"
    if found.severity == "critical":
        return "a softmax over a single unit cannot be cured by leaving it out; take two units or one logit"
    if not found.sites or graph.run.site(found.sites[0]).order in of_logarithms(graph):
        return "the loss takes logarithms of probabilities"
    return Prescription(removed=found.sites, why="the loss takes the softmax itself: hand it logits")
