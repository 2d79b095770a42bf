"""Class weights the right way round."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.class_prior_only import weights_with_counts
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="training", sources=("he2009imbalanced",), rank=0)
def turned_weights(graph: Graph) -> Prescription | str:
    """One over each class's weight in the loss, where the weights grow with how often a class comes.

    What it changes: the loss; so the untreated network is judged by the mended loss as well.

    When not to: where the frequent classes are the ones that count.
    """
    found = weights_with_counts(graph)
    if found is None or graph.site(found[0]).operation not in ("cross_entropy", "nll_loss"):
        return "no weights that a loss is given grow with the counts of the classes"
    return Prescription(
        turned_weights=(graph.site(found[0]).name,),
        mends=True,
        why="weights that grow with the counts: the seldom classes are to weigh more, not less",
    )
