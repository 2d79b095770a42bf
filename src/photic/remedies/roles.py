"""New weights for layers, as a prescription names them."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import activation_after, matrices, weight_and_bias
from photic.remedies.prescription import LayerInitialisation, Prescription, Scheme


def initialisation(
    graph: Graph, index: int, scheme: Scheme, *, scale: float = 1.0, shift: float = 0.0
) -> LayerInitialisation:
    """Return new weights for one of `matrices(graph)`."""
    names = weight_and_bias(graph, index)
    assert names is not None
    return LayerInitialisation(graph.site(index).name, names[0], names[1], scheme, scale, shift)


def with_relu(graph: Graph, acting: list[int], why: str) -> Prescription:
    """Return ReLU in the place of these activations, with He weights before an activation and Xavier's elsewhere."""
    layers = (
        initialisation(graph, index, "he" if activation_after(graph, index) else "xavier") for index in matrices(graph)
    )
    return Prescription(layers=tuple(layers), activations={graph.site(index).name: "relu" for index in acting}, why=why)
