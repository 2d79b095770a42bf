"""The first layer's output, added to that of each later layer of the same width."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_choice import one_choice
from photic.diagnosis.roles import matrices, residual_branches
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

FEWEST = 4


@remedy(treats=("rank-collapse",), changes="function", sources=("chen2020gcnii", "gasteiger2019"), rank=6)
def initial_residual(graph: Graph) -> Prescription | str:
    """What the first hidden layer gives is added to what each later layer of its width gives.

    What it changes: layers that make rows alike (averages over neighbours, attention) keep what told the rows apart; other than a
    connection around each layer this does not grow with depth.

    When not to: where the network has residual connections, or where fewer than four layers keep the width.
    """
    if residual_branches(graph):
        return "there are residual connections already"
    if one_choice(graph) is not None:
        return "a connection would lead around the choice that makes all examples one, and leave it as it is"
    followers = [follower for index in matrices(graph) if (follower := graph.following_activation(index)) is not None]
    if not followers:
        return "no activation follows a layer"
    first, below = followers[0], graph.descendants(followers[:1])
    size = _count(graph, first)
    later = [index for index in followers if size and index in below and _count(graph, index) == size]
    if len(later) < FEWEST:
        return f"no {FEWEST} layers of the first one's width follow it"
    return Prescription(
        skips=tuple((graph.site(first).name, graph.site(index).name) for index in later),
        why="layer after layer the rows become alike: add what the first layer gives at each (Chen et al. 2020)",
    )


def _count(graph: Graph, index: int) -> int:
    signal = graph.reading(index).signal
    return 0 if signal is None else signal.count
