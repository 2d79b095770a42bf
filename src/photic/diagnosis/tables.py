"""Tables: networks whose weights are all looked up, as those of a factorisation are, and whether their products are too loud."""

from __future__ import annotations

from photic.diagnosis.evidence import Training
from photic.diagnosis.graph import Graph

_LOOKED_UP = ("embedding", "embedding_bag", "getitem", "index_select")
_SURE = 10.0  # a logit that large leaves 5e-5 of probability
_AWFUL = 10.0  # times the loss of outputs of 0; losses that go with the outputs, not with their squares, reach no more


def tables(graph: Graph) -> list[int]:
    """Return the sites that look up trained tables, where the network has no other matrices; none where it has."""
    layers = graph.layers()
    own = [p for p in graph.run.parameters if p.trainable and p.sites and len(p.shape) > 1]
    found = {site for p in own for site in p.sites}
    if layers:
        return layers if all("embedding" in graph.site(index).operation for index in layers) else []
    return sorted(found) if all(graph.site(site).operation in _LOOKED_UP for site in found) else []


def loud_tables(graph: Graph, training: Training | None, worse: float = 100.0) -> list[int]:
    """Return the tables of a network of nothing else, where the loss starts `worse` times worse than with outputs of 0.

    Ten times are enough where the outputs are sure of themselves.
    """
    ignorant = graph.run.neutral_loss or (None if training is None else training.constant)
    if graph.loss is None or ignorant is None or not ignorant > 0.0:
        return []
    sizes = [signal.rms for index in graph.run.outputs if (signal := graph.reading(index).signal) is not None]
    sure = max(sizes, default=0.0) > _SURE
    if not graph.loss > (min(worse, _AWFUL) if sure else worse) * ignorant:
        return []
    return [
        index
        for index in tables(graph)
        if any(reading.weight.rms > 0.0 for p, reading in graph.parameters.get(index, []) if p.trainable)
    ]
