"""Results that are dropped, added to later layers of their shape."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.silenced import passed_by
from photic.diagnosis.unheard import Dropped, dropped_results
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("he2016",), rank=2)
def added_results(graph: Graph) -> Prescription | str:
    """What trained layers make and nothing takes, added to the results of layers that come later, one to each, in one shape.

    What it changes: of the layers that learn, those in the shape of what is dropped give both together; where none comes later, what
    has the shape of the answers is added to these.

    When not to: where a result was computed for the log alone.
    """
    pairs: list[tuple[int, int]] = []
    dropped = dropped_results(graph)
    for one in [*dropped, *_sliced_away(graph)]:
        shape, taken = graph.site(one.end).shape, {end for _, end in pairs}
        later = [
            index
            for index in graph.layers()
            if index > one.end and index not in taken and graph.site(index).shape == shape
            and graph.gradient_norm(index) is not None
        ]  # fmt: skip
        pairs += [(one.end, later[0])] if later else []
    outputs = {graph.site(index).shape for index in graph.run.outputs}
    left = [one.end for one in dropped if graph.site(one.end).shape in outputs] if len(outputs) == 1 else []
    if not pairs and left:
        return Prescription(
            joined=tuple(graph.site(end).name for end in left),
            why="results that nothing takes, in the shape of the answers, are added to these",
        )
    if not pairs:
        return "no layer that learns comes after a dropped result in its shape"
    return Prescription(
        skips=tuple((graph.site(start).name, graph.site(end).name) for start, end in pairs),
        why="results that nothing takes are added to the layers that come after them",
    )


def _sliced_away(graph: Graph) -> list[Dropped]:
    """Return what starved layers make together, where a slice above takes another part."""
    found: list[Dropped] = []
    for one in passed_by(graph):
        if graph.site(one.site).operation not in ("softmax", "scaled_dot_product_attention"):
            after = graph.consumers.get(one.layers[-1], [])
            end = after[0] if len(after) == 1 and graph.site(after[0]).kind == "activation" else one.layers[-1]
            found.append(Dropped(end, one.layers))
    return found
