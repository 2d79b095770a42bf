"""The hidden activation replaced by ReLU, with He weights."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import hidden_activations
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.roles import with_relu


@remedy(
    treats=("vanishing-gradient", "saturated-activation"),
    changes="function",
    sources=("he2015",),
    rank=3,
)
def relu_activation(graph: Graph) -> Prescription | str:
    """ReLU in the hidden layers, with He weights.

    What it changes: every hidden activation (gates and outputs stay) and the initial weights.

    When not to: where hidden values must be bounded.
    """
    acting = [index for index in hidden_activations(graph) if graph.site(index).operation != "relu"]
    if not acting:
        return "there is no hidden activation other than ReLU"
    why = "ReLU does not saturate above 0; He keeps its gradient (He et al. 2015)"
    return with_relu(graph, acting, why)
