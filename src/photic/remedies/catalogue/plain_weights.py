"""Weights that another network makes, used themselves and not as new parameters."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.wrapped import wrapped
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("severed-gradient",), changes="function", sources=("ha2017", "paszke2017"), rank=0)
def plain_weights(graph: Graph) -> Prescription | str:
    """What the forward makes an `nn.Parameter` of is used as it is.

    What it changes: no value; what makes the weights gets their gradient.

    When not to: where a parameter of its own is meant to start there: then make it once, in `__init__`.
    """
    pairs = [(graph.site(one.maker).name, graph.site(user).name) for one in wrapped(graph) for user in one.users]
    if not pairs:
        return "no parameter is made in the forward of what layers give"
    return Prescription(
        rejoined=tuple(pairs), why="nn.Parameter(...) keeps no history: use the tensor that the network made"
    )
