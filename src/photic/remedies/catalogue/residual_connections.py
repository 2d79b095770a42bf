"""Residual connections around layers of one width."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import matrices, residual_branches
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("vanishing-gradient", "shattered-gradient", "rank-collapse", "missing-normalisation", "exploding-gradient"),
    changes="function",
    sources=("he2016",),
    rank=5,
)
def residual_connections(graph: Graph) -> Prescription | str:
    """Each hidden layer of one width gets a connection around it.

    What it changes: the output of layer and activation is added to what entered the layer.

    When not to: where the network has such connections already.
    """
    if residual_branches(graph):
        return "there are residual connections already"
    pairs = []
    for index in matrices(graph):
        follower = graph.following_activation(index)
        entering = [graph.reading(s).signal for s, _ in graph.feeders.get(index, []) if s >= 0]
        leaving = None if follower is None else graph.reading(follower).signal
        if follower is None or leaving is None or len(entering) != 1 or entering[0] is None:
            continue
        if entering[0].count == leaving.count:
            pairs.append((graph.site(index).name, graph.site(follower).name))
    if len(pairs) < 2:
        return "no two layers of one width follow each other"
    return Prescription(
        residual=tuple(pairs), why="a connection around each layer carries the gradient (He et al. 2016)"
    )
