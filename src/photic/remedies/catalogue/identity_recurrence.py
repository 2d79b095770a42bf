"""Identity recurrence for ReLU."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("vanishing-in-time", "exploding-in-time"), changes="weights", sources=("le2015",), rank=3)
def identity_recurrence(graph: Graph) -> Prescription | str:
    """The identity as recurrent matrix, for plain recurrent layers with ReLU (IRNN).

    What it changes: recurrent matrices become the identity, biases 0: without input the state stays.

    When not to: with tanh, whose slope falls off where the state is large; there orthogonal matrices do as well.
    """
    if not any(site.operation == "rnn_relu" for site in graph.run.sites):
        return "there is no plain recurrent layer with ReLU"
    return Prescription(recurrence="identity", why="an identity recurrence with ReLU keeps the state (Le et al. 2015)")
