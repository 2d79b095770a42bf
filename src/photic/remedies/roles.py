"""New weights for one layer, as a prescription names them."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import weight_and_bias
from photic.remedies.prescription import LayerInitialisation, Scheme


def initialisation(
    graph: Graph, index: int, scheme: Scheme, *, scale: float = 1.0, shift: float = 0.0
) -> LayerInitialisation:
    """Return new weights for one of `matrices(graph)`."""
    names = weight_and_bias(graph, index)
    assert names is not None
    return LayerInitialisation(graph.site(index).name, names[0], names[1], scheme, scale, shift)
