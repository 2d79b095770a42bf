"""Weights of the terms of a loss that stay as they are."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("diverging",), changes="training", sources=("kendall2018",), rank=1)
def fixed_loss_weights(graph: Graph) -> Prescription | str:
    """Parameters that only weigh the terms of the loss are not trained.

    What it changes: the optimizer cannot lower the loss by weighing an error less, and below 0, instead of making it smaller.

    When not to: where the loss keeps its weights above 0, as with the logarithm of a variance and its penalty.
    """
    weighing = [
        parameter.name
        for parameter in graph.run.parameters
        if parameter.trainable and parameter.sites and "<" not in parameter.name
        and all(graph.site(i).phase == "loss" and graph.site(i).operation in ("mul", "div") for i in parameter.sites)
    ]  # fmt: skip
    if not weighing:
        return "no parameter weighs the terms of the loss alone"
    return Prescription(
        frozen=tuple(weighing), why="a learned weight with no bound makes an error count less than nothing"
    )
