"""The output in the shape of the target."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.broadcast_target import meeting
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("broadcast-target",), changes="function", sources=("harris2020",), rank=0)
def matched_target(graph: Graph) -> Prescription | str:
    """The output in the shape of the target, so that the loss compares each with its own.

    What it changes: an axis of length 1 is taken from the model's output, or added to it.

    When not to: where others read the output in its old shape; give the target that shape instead (`target.view_as(output)`).
    """
    met = meeting(graph)
    if met is None:
        return "the loss compares each output with its own target"
    output, _ = met
    why = "output and target in one shape: each is compared with its own"
    if len(output.shape) == 1:
        return Prescription(squeezed={output.name: ("unsqueeze", -1)}, why=why)
    if output.shape[-1] == 1:
        return Prescription(squeezed={output.name: ("squeeze", -1)}, why=why)
    if output.shape[1] == 1:
        return Prescription(squeezed={output.name: ("squeeze", 1)}, why=why)
    if len(output.shape) > 2:  # maps without the axis of channels that the targets have
        return Prescription(squeezed={output.name: ("unsqueeze", 1)}, why=why)
    return "the output has no axis of length 1; bring output and target to one shape by hand"
