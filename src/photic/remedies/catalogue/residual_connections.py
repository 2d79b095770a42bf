"""Residual connections around layers of one width."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_choice import one_choice
from photic.diagnosis.roles import matrices, residual_branches
from photic.diagnosis.stream import segments
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("vanishing-gradient", "shattered-gradient", "rank-collapse", "missing-normalisation", "exploding-gradient"),
    changes="function",
    sources=("he2016",),
    rank=5,
)
def residual_connections(graph: Graph) -> Prescription | str:
    """Each hidden layer, or attention, that keeps the width gets a connection around it.

    What it changes: what entered a layer is added to the output of its activation; where no layers of one width follow each
    other, what enters a stretch of several that ends in the shape in which it began is added to its end.

    When not to: where the network has such connections already.
    """
    if residual_branches(graph):
        return "there are residual connections already"
    if one_choice(graph) is not None:
        return "a connection would lead around the choice that makes all examples one, and leave it as it is"
    pairs = []
    for index in matrices(graph):
        follower = graph.following_activation(index)
        sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        entering = [graph.reading(source).signal for source in sources]
        leaving = None if follower is None else graph.reading(follower).signal
        if follower is None or leaving is None or len(entering) != 1 or entering[0] is None:
            continue
        if entering[0].count == leaving.count:
            pairs.append((sources[0], follower))
    if len(pairs) < 2:
        pairs = segments(graph)
    if not pairs:
        return "no layers that keep the width follow each other"
    return Prescription(
        skips=tuple((graph.site(start).name, graph.site(end).name) for start, end in pairs),
        why="a connection around each layer carries the gradient (He et al. 2016)",
    )
