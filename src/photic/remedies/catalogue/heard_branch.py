"""A branch, or a matrix, that a product with 0 silences let through."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.silenced import masked_whole, multiplied_by_nothing
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("bachlechner2021", "srivastava2014"), rank=1)
def heard_branch(graph: Graph) -> Prescription | str:
    """The signal, or the matrix, added to the product with 0 that silences it, so that its branch is heard and learns.

    What it changes: the factor 0 becomes 1; where a fixed factor follows, as in a dropout written out, the two together do.

    When not to: where the branch is switched off on purpose, for a stage of the training that is still to come.
    """
    shut = multiplied_by_nothing(graph)
    masked = [one.site for one in masked_whole(graph) if graph.site(one.site).operation == "mul"]
    if masked and not shut:
        return Prescription(
            opened={graph.site(index).name: 1.0 for index in masked},
            why="a mask of zeros leaves nothing of a layer's weights: use them without it",
        )
    if not shut:
        return "no product with 0 stands above a layer that is trained"
    return Prescription(
        opened={graph.site(one.site).name: 1.0 / _following(graph, one.site) for one in shut},
        why="a factor of 0 that nothing can move silences the branch: let it through",
    )


def _following(graph: Graph, index: int) -> float:
    """Return the product of the fixed factors that follow a site one after the other."""
    factor = 1.0
    while len(after := graph.consumers.get(index, [])) == 1:
        index = after[0]
        site = graph.site(index)
        other = site.settings.get("other")
        if site.operation not in ("mul", "div") or not isinstance(other, (int, float)) or not other:
            break
        factor *= other if site.operation == "mul" else 1.0 / other
    return factor
