"""A softplus at the output in the place of a ReLU."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.dying_output import dying_output
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("dying-output", "dead-units"), changes="function", sources=("maas2013",), rank=1)
def smooth_output(graph: Graph) -> Prescription | str:
    """Softplus in the place of a last ReLU: the output stays above 0 and keeps a slope everywhere.

    What it changes: an output near 0 becomes a small number above 0.

    When not to: where the output is to be exactly 0, or to take values below it.
    """
    found = dying_output(graph)
    if found is None or not found.sites or graph.run.site(found.sites[0]).operation != "relu":
        return "no ReLU that dies ends the model"
    return Prescription(
        activations={found.sites[0]: "softplus"}, why="softplus in the place of the last ReLU: its slope is never 0"
    )
