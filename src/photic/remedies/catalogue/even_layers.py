"""The weights of each layer, smaller by what the gradient grows at it."""

from __future__ import annotations

import math
from itertools import pairwise

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

GROWS = 1.2  # times at a layer; what grows less is left as it is


@remedy(
    treats=("exploding-gradient", "weights-too-large"), changes="weights", sources=("saxe2014", "mishkin2016"), rank=3
)
def even_layers(graph: Graph) -> Prescription | str:
    """All that a layer's matrix is made of, divided by the factor by which the gradient grows from this layer to the one below.

    What it changes: the initial values of weights, drawn as they are, in whatever form they enter: complex, sliced, transposed, a sum of
    several. Where the signal keeps its size with them so does the gradient.

    When not to: where a normalisation takes the weights' size away, or what lies between two layers is no multiple of what enters it.
    """
    layers = set(graph.layers())
    scaled: dict[str, float] = {}
    for above, below in pairwise(index for index in graph.main_path() if index in layers):
        arrives, came = graph.gradient_norm(below), graph.gradient_norm(above)
        if not arrives or not came or not math.isfinite(arrives / came) or arrives <= GROWS * came:
            continue
        for parameter, _ in graph.parameters.get(above, []):
            if parameter.trainable and len(parameter.shape) > 1 and len(layers.intersection(parameter.sites)) == 1:
                scaled[parameter.name] = came / arrives
    if not scaled:
        return "at no layer does the gradient grow on its way"
    return Prescription(scaled=scaled, why="layers at which the gradient does not grow: weights smaller by as much")
