"""Parameters that the model does not list, taken in where they are used."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.severed_unregistered_module import severed_unregistered_module
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

# What torch.nn.init calls: a layer made in the forward draws its weights there.
_DRAWS = (
    "uniform",
    "normal",
    "kaiming",
    "xavier",
    "trunc_normal",
    "zeros",
    "ones",
    "constant",
    "fill",
    "orthogonal",
    "eye",
)


@remedy(treats=("severed-unregistered-module",), changes="function", sources=("paszke2017",), rank=2)
def adopted_parameters(graph: Graph) -> Prescription | str:
    """What a layer uses and the model does not list is made once, registered and moved by the optimizer.

    What it changes: a layer made anew in each forward is the same one from step to step; weights kept in objects that torch does
    not search become the model's.

    When not to: where the part is meant to stay out of the model: a teacher, a frozen encoder.
    """
    found = severed_unregistered_module(graph)
    if found is None:
        return "every module is registered"
    sites = [
        name for name in found.sites if not graph.run.site(name).operation.startswith(_DRAWS)
    ]  # that is not to use them
    return Prescription(
        adopted=tuple(sites), why="make it once in __init__, as an attribute of the model: then it is trained"
    )
