"""A softmax over one unit replaced by what was meant."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.loss_saturation import loss_saturation
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_OF_PROBABILITIES = {"binary_cross_entropy"}


@remedy(treats=("loss-saturation",), changes="function", sources=("bridle1990",), rank=1)
def one_probability(graph: Graph) -> Prescription | str:
    """A softmax over a single unit becomes a sigmoid before a loss of probabilities, and is left out before another.

    What it changes: the output, which was 1 whatever the network said.

    When not to: where two classes have two units; there the axis of the softmax is wrong.
    """
    found = loss_saturation(graph)
    if found is None or found.severity != "critical" or not found.sites:
        return "no softmax runs over a single unit"
    if graph.run.site(found.sites[0]).operation not in ("softmax", "log_softmax"):
        return "no softmax runs over a single unit"
    losses = {site.operation for site in graph.run.sites if site.phase == "loss"}
    if losses & _OF_PROBABILITIES or any(operation.startswith("log") for operation in losses):
        return Prescription(
            activations=dict.fromkeys(found.sites, "sigmoid"), why="one unit: a sigmoid; a softmax over it is always 1"
        )
    return Prescription(removed=found.sites, why="a softmax over one unit is always 1: leave it out")
