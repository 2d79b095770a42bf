"""A tanh on a sum of which one part is lost in what follows."""

from __future__ import annotations

from photic.diagnosis.cancelled import cancelled
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("bahdanau2015",), rank=1)
def bent_sum(graph: Graph) -> Prescription | str:
    """A tanh on the sum of what all share and what each has, where nothing bends between it and a softmax.

    What it changes: w (q + k) is w q + w k, and a softmax takes no notice of w q, which all share; w tanh(q + k) tells of both together.

    When not to: where the part that all share is left out on purpose; then its layers can go.
    """
    found = cancelled(graph)
    if found is None or found.how != "spread" or found.normaliser is not None:
        return "nothing that all share is lost in a softmax"
    site = graph.site(found.site)
    if site.operation not in ("add", "sub", "rsub") or not _width(graph, found.source) > 1:
        return "what all share is no vector that is added"
    after = graph.descendants([found.site])
    softmaxes = [i for i in after if "softmax" in graph.site(i).operation]
    between = after & graph.ancestors([min(softmaxes)]) if softmaxes else after
    if any(graph.site(i).kind == "activation" for i in between if graph.site(i).phase == "model"):
        return "an activation comes after the sum"
    return Prescription(bent=(site.name,), why="w (q + k) says nothing of q behind a softmax: w tanh(q + k)")


def _width(graph: Graph, index: int) -> int:
    return graph.site(index).shape[-1]
