"""The standard loss in the place of one of the user's own."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

STANDARD = ("cross_entropy", "nll_loss", "mse_loss", "binary_cross_entropy_with_logits")


@remedy(
    treats=("loss-saturation", "severed-nondifferentiable"),
    changes="function",
    sources=("lecun1998", "goodfellow2014"),
    rank=3,
)
def standard_loss(graph: Graph) -> Prescription | str:
    """Cross-entropy for classes, for yes and no, a mean squared error for numbers, in the place of the loss.

    What it changes: what the network is trained on; it is judged by the loss as it was.

    When not to: where the loss measures what these do not: ranks, overlaps, outliers.
    """
    own = [site for site in graph.run.sites if site.phase == "loss" and site.kind != "shape"]
    if not own:
        return "there is no loss function apart from the model"
    squared = own[0].operation == "mse_loss" and _probabilities(graph)
    if len(own) == 1 and own[0].operation in STANDARD and not squared:
        return f"{own[0].operation} is a standard loss"
    return Prescription(standard_loss=True, why="a loss that keeps a slope wherever the outputs are")


def _probabilities(graph: Graph) -> bool:
    """Whether the output comes from a sigmoid or a softmax, past shapes: a squared error of it is flat where it is sure."""
    index = graph.run.outputs[-1] if graph.run.outputs else -1
    while index >= 0 and graph.site(index).kind == "shape":
        sources = graph.feeders.get(index, [])
        index = sources[0][0] if len(sources) == 1 else -1
    return index >= 0 and graph.site(index).operation in ("sigmoid", "softmax")
