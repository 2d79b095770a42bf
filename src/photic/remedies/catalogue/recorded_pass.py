"""A part that ran under no_grad, recorded."""

from __future__ import annotations

from photic.diagnosis.cuts import find_cut
from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("paszke2017",), rank=1)
def recorded_pass(graph: Graph) -> Prescription | str:
    """The part of the forward pass under `no_grad` recorded, so that the gradient comes back through it.

    What it changes: no value; memory for the activations of that part, and its parameters get gradients.

    When not to: where the part is frozen on purpose; set requires_grad=False on its parameters to say so.
    """
    cut = find_cut(graph)
    if cut is None or not cut.under_no_grad:
        return "nothing that is trained runs under no_grad"
    used = {index for parameter in cut.parameters for index in parameter.sites}  # at every call
    silent = {index for index in used | graph.descendants(used) if graph.gradient_norm(index) is None}
    below = {cut.site} | graph.ancestors([cut.site]) | silent
    names = tuple(graph.site(index).name for index in sorted(below) if graph.site(index).phase == "model")
    return Prescription(revealed=names, why="no_grad cuts the gradient: leave it out around what is to be trained")
