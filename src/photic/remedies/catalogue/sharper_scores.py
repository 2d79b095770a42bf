"""Cosines of codes divided by a temperature."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.loss_saturation import limited_scores
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

TEMPERATURE = 0.07  # Radford et al. begin with it


@remedy(treats=("loss-saturation",), changes="function", sources=("radford2021", "schroff2015"), rank=1)
def sharper_scores(graph: Graph) -> Prescription | str:
    """Codes so long that their products reach 1 / 0.07, as cosines divided by a temperature do.

    What it changes: the length of one of two codes of fixed length, or the scores where they enter the loss.

    When not to: where the codes are compared elsewhere, by a distance that their length changes.
    """
    found = limited_scores(graph)
    if found is None:
        return "no cosine keeps the scores of the loss in a narrow range"
    loss, limit, _ = found
    place = graph.site(limit.site)
    if place.operation not in ("div", "cosine_similarity"):
        return f"it is {place.operation} that keeps the scores in a narrow range"
    scaled = place if place.operation == "div" and place.phase == "model" else graph.site(loss)
    return Prescription(
        factors={scaled.name: 1.0 / TEMPERATURE / limit.largest},
        why="cosines lie between -1 and 1, too near each other for a softmax: divide them by a temperature",
    )
