"""Tables whose products start near 0."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.diagnosis.tables import loud_tables
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.registry import remedy

QUIET = 0.1  # of what they should say; the products of the factors start so large


@remedy(treats=("weights-too-large",), changes="weights", sources=("glorot2010", "yang2021"), rank=1)
def small_tables(graph: Graph) -> Prescription | str:
    """The tables of a factorisation drawn so small that their products start at a tenth of what the targets are.

    What it changes: the deviation of the tables, by the root of how much too large the outputs are: they are products of two.

    When not to: where the tables were trained before.
    """
    tables = loud_tables(graph, None)
    if not tables or graph.loss is None or not graph.run.neutral_loss:
        return "the network is no factorisation whose outputs are too large"
    share = QUIET / math.sqrt(graph.loss / graph.run.neutral_loss)
    layers: list[LayerInitialisation] = []
    for index in tables:
        own = [p for p, _ in graph.parameters.get(index, []) if p.trainable and len(p.shape) > 1]
        for parameter in own:
            variance = graph.run.steps[0].parameters[graph.run.parameters.index(parameter)].weight.rms ** 2 * share
            layers.append(
                LayerInitialisation(
                    graph.site(index).name,
                    parameter.name,
                    "",
                    "centred",
                    scale=variance * math.prod(parameter.shape[1:]),
                )
            )
    return Prescription(layers=tuple(layers), why="products of tables drawn with a deviation of 1 are too large")
