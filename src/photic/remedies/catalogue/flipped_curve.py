"""softplus(-v) in place of -softplus(v)."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.highest_loss import at_its_highest
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("loss-saturation",), changes="function", sources=("goodfellow2014",), rank=1)
def flipped_curve(graph: Graph) -> Prescription | str:
    """softplus(-v) in place of -softplus(v): -log D in place of log(1 - D), with v the logit of D.

    What it changes: both fall as v grows; the one has its slope where v is far below 0, the other where it is far above.

    When not to: for the discriminator, whose log(1 - D) is right.
    """
    index = at_its_highest(graph)
    if index is None or graph.site(index).operation != "softplus":
        return "no softplus with a minus sign is flat where the loss is largest"
    above = sorted(graph.descendants([index]))
    negation = [graph.site(i).name for i in above if graph.site(i).operation == "neg"]
    if len(negation) != 1:
        return "the minus sign is not found"
    return Prescription(
        flipped=((graph.site(index).name, negation[0]),),
        why="-log D has its slope where the discriminator is sure (Goodfellow et al. 2014)",
    )
