"""Gates that let next to nothing in, started a little open."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import weight_and_bias
from photic.diagnosis.rules.idle_layer import unequal_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_BIAS = -1.0  # srivastava2015, section 2.2: -1 to -3


@remedy(treats=("idle-layer",), changes="weights", sources=("srivastava2015",), rank=1)
def open_highways(graph: Graph) -> Prescription | str:
    """Sigmoid gates that shut a branch out of a sum start with a bias of -1, at which a quarter of it comes in.

    What it changes: the initial bias of the layers that make the gates.

    When not to: where the branch is to come in later, by another bias that is trained.
    """
    biases: dict[str, float] = {}
    for pair in unequal_sums(graph):
        factors = (
            [source for source, _ in graph.feeders.get(pair.branch, [])]
            if graph.site(pair.branch).operation == "mul"
            else []
        )
        for gate in factors:
            signal = graph.reading(gate).signal if gate >= 0 else None
            if signal is None or graph.site(gate).operation != "sigmoid" or signal.rms > 1e-3:
                continue
            makers = [weight_and_bias(graph, source) for source, _ in graph.feeders.get(gate, []) if source >= 0]
            biases |= {own[1]: _BIAS for own in makers if own is not None and own[1]}
    if not biases:
        return "no sigmoid gate shuts a branch out of a sum"
    return Prescription(
        constants=biases, why="gates that start shut let nothing in, and get no gradient: start them a little open"
    )
