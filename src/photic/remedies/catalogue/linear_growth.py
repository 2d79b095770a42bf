"""A hidden activation that grows faster than its input replaced by ReLU."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import growing_activations
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import with_relu


@remedy(treats=("non-finite", "exploding-gradient", "diverging"), changes="function", sources=("he2015",), rank=2)
def linear_growth(graph: Graph) -> Prescription | str:
    """ReLU in the place of exponentials and powers between layers, with He weights.

    What it changes: every exponential, hyperbolic sine, square or power that serves as an activation, and the initial weights.

    When not to: where the exponential is part of a formula: a softmax, a scale from its logarithm, radial basis functions.
    """
    acting = growing_activations(graph)
    if not acting:
        return "no exponential or power serves as a hidden activation"
    why = "ReLU grows as its input does, exponentials and powers overflow after a few layers (He et al. 2015)"
    return with_relu(graph, acting, why)
