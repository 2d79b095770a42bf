"""A softplus at the output in the place of a ReLU."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.dead_units import dead
from photic.diagnosis.rules.dying_output import dying_output
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("dying-output", "dead-units"), changes="function", sources=("maas2013",), rank=1)
def smooth_output(graph: Graph) -> Prescription | str:
    """Softplus in the place of a last ReLU: what leaves the layers stays above 0 and keeps a slope everywhere.

    What it changes: an output near 0, or a density that a formula takes, becomes a small number above 0.

    When not to: where the output is to be exactly 0, or to take values below it.
    """
    found = dying_output(graph)
    last = [] if found is None else [name for name in found.sites[:1] if graph.run.site(name).operation == "relu"]
    last = last or [
        graph.site(index).name for index, _ in dead(graph) or dead(graph.last) if _above_all_layers(graph, index)
    ]
    if not last:
        return "no ReLU above all layers dies"
    return Prescription(
        activations=dict.fromkeys(last, "softplus"), why="softplus in the place of the last ReLU: its slope is never 0"
    )


def _above_all_layers(graph: Graph, index: int) -> bool:
    above = graph.descendants([index])
    return graph.site(index).operation == "relu" and above.isdisjoint(graph.layers())
