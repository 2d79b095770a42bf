"""Layers without a unit, given some."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.unheard import empty_layers
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

WIDER = 4  # than what enters: the inner layer of a transformer's block (vaswani2017attention, section 3.3)


@remedy(treats=("idle-layer",), changes="function", sources=("vaswani2017attention", "glorot2010"), rank=1)
def widened_layers(graph: Graph) -> Prescription | str:
    """Every axis of length 0 of a layer's weights four times as long as the longest other axis of those layers.

    What it changes: the shape of those parameters; they are drawn with Xavier's variance.

    When not to: where the layers are left out on purpose.
    """
    layers = empty_layers(graph)
    if not layers:
        return "every layer has units"
    longest = max(max(p.shape) for index in layers for p, _ in graph.parameters.get(index, []) if 0 in p.shape)
    return Prescription(widened=WIDER * max(longest, 1), why="layers without a unit add nothing: give them some")
