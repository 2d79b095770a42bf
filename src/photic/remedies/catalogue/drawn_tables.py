"""Tables whose columns are one column drawn at random, of the size that they have."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import LayerInitialisation, Prescription
from photic.remedies.registry import remedy


@remedy(treats=("rank-collapse",), changes="weights", sources=("glorot2010", "saxe2014"), rank=2)
def drawn_tables(graph: Graph) -> Prescription | str:
    """Embeddings whose columns are alike drawn around 0, with the root mean square that they have.

    What it changes: the initial values of tables that hold one number, or the same in every column.

    When not to: where what reads the table tells its columns apart, and the start at one number is meant.
    """
    layers: list[LayerInitialisation] = []
    for index in graph.layers():
        facts = graph.first.reading(index).weight
        alike = facts is not None and facts.distinct < 1e-6 and facts.row_square_sum > 0.0
        if "embedding" not in graph.site(index).operation or not alike:
            continue
        for parameter, reading in graph.first.parameters.get(index, []):
            if parameter.trainable and len(parameter.shape) == 2:
                scale = reading.weight.rms**2 * parameter.shape[1]
                layers.append(LayerInitialisation(graph.site(index).name, parameter.name, "", "centred", scale=scale))
    layers += _looked_up_by_hand(graph)
    if not layers:
        return "the columns of every table differ"
    return Prescription(
        layers=tuple(layers), why="columns that begin alike get the same gradient and stay alike: draw them"
    )


def _looked_up_by_hand(graph: Graph) -> list[LayerInitialisation]:
    """Return the same for tables of one number that are read as `table[rows]`, and by nothing else."""
    found: list[LayerInitialisation] = []
    for parameter, reading in zip(graph.run.parameters, graph.run.steps[0].parameters, strict=True):
        taken = {graph.site(index).operation for index in parameter.sites}
        facts = reading.weight
        one_number = facts.rms > 0.0 and facts.deviation < 1e-3 * facts.rms
        if parameter.trainable and len(parameter.shape) == 2 and one_number and taken == {"getitem"}:
            site, scale = graph.site(parameter.sites[0]).name, facts.rms**2 * parameter.shape[1]
            found.append(LayerInitialisation(site, parameter.name, "", "centred", scale=scale))
    return found
