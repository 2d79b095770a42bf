"""A number for each, where one was given to all."""

from __future__ import annotations

from photic.diagnosis.cancelled import Cancelled, cancelled
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("bridle1990",), rank=1)
def own_answers(graph: Graph) -> Prescription | str:
    """A linear layer whose one number is added to all numbers of an example, before a softmax for one, gives each of them one of its own.

    What it changes: the number of the layer's outputs; it is drawn as torch does.

    When not to: where the shift is left out on purpose; then the layers can go.
    """
    found = cancelled(graph)
    if found is None or found.how != "spread" or graph.site(found.site).shape[-1] < 2:
        return "no number that all numbers of an example share is lost"
    name = _linear(graph, found)
    if name is None:
        return "what is given to all numbers alike is not made by a linear layer of one output"
    return Prescription(
        answers={name: graph.site(found.site).shape[-1]},
        why="a shift that all share is lost: a number for each of them",
    )


def _linear(graph: Graph, found: Cancelled) -> str | None:
    """Return the name of the module that makes the one number, where it is called once and none but a shape lies between."""
    index: int | None = found.source
    while index is not None and graph.site(index).kind == "shape":
        below = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        index = below[0] if len(below) == 1 else None
    if (
        index is None
        or graph.site(index).operation != "linear"
        or graph.site(found.site).operation not in ("add", "sub", "rsub")
    ):
        return None
    weights = [p for p, _ in graph.parameters.get(index, []) if len(p.shape) == 2]
    alone = len(weights) == 1 and weights[0].shape[0] == 1 and weights[0].sites == (index,)
    return weights[0].name.rpartition(".")[0] if alone and weights[0].name.endswith(".weight") else None
