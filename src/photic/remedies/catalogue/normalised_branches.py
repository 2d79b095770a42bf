"""Blocks of whatever kind as small normalised branches of a residual stream."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import segments
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_FEWEST = 3


@remedy(
    treats=("exploding-gradient", "vanishing-gradient", "shattered-gradient"),
    changes="function",
    sources=("liu2022", "hayou2021"),
    rank=6,
)
def normalised_branches(graph: Graph) -> Prescription | str:
    """What a block makes of the stream is normalised, made smaller by the root of the number of blocks, and added to the stream.

    What it changes: each stretch of the stream that ends in the shape in which it began, x = block(x), becomes x = x + norm(block(x)) / sqrt(n),
    with an RMS normalisation without parameters. Whatever the blocks compute (products of the signal with itself, sorting, matrices of the data), the
    signal grows by sqrt(n) at most over all of them, and how large a block's result is no longer tells.

    When not to: where fewer than three such stretches follow each other.
    """
    pairs = segments(graph)
    if len(pairs) < _FEWEST:  # nothing is known to bend the signal: products, sorting
        pairs = segments(graph, bends=False)
    if len(pairs) < _FEWEST:
        return f"no {_FEWEST} stretches of the stream end in the shape in which they began"
    return Prescription(
        branched=tuple((graph.site(start).name, graph.site(end).name) for start, end in pairs),
        why="normalised branches, each as small as there are many, keep signal and gradient (Liu et al. 2022; Hayou et al. 2021)",
    )
