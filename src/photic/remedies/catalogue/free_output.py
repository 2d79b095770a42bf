"""The output without its activation."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.dying_output import dying_output
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("dying-output", "dead-units"), changes="function", sources=("maas2013",), rank=1)
def free_output(graph: Graph) -> Prescription | str:
    """The last activation left out.

    What it changes: the output may take any value.

    When not to: where the output must stay in the range of the activation.
    """
    found = dying_output(graph)
    if found is None:
        return "no activation that dies ends the model"
    return Prescription(removed=found.sites, why="the output needs values that its activation cannot give")
