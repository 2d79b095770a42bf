"""Branches of a stream that are added in smaller parts."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import chained_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("exploding-gradient", "exploding-in-time", "missing-normalisation"),
    changes="function",
    sources=("zhang2019", "de2020"),
    rank=2,
)
def smaller_branches(graph: Graph) -> Prescription | str:
    """Each of the N branches that are added to a stream one after the other is multiplied by 1 / N.

    What it changes: one factor at each sum. A stream that each branch made g times larger grows at most e^(g - 1) times in all: Euler's
    steps of 1 / N through a time of 1.

    When not to: where each sum is normalised, or branches start at 0.
    """
    sums = chained_sums(graph)
    if not sums:
        return "no three sums are added to one stream one after the other"
    sums = sorted([*sums, *_of_the_same_line(graph, sums)])
    factor = 1.0 / len(sums)
    return Prescription(
        balance={graph.site(index).name: (graph.site(branch).name, factor) for index, branch in sums},
        why=f"{len(sums)} branches of 1 / {len(sums)} each: the stream stays of one size",
    )


def _of_the_same_line(graph: Graph, sums: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return sums that the same expression makes: the first turn of a loop, whose state no parameter made."""
    known = {index for index, _ in sums}
    made = [(graph.site(index), graph.site(branch)) for index, branch in sums]
    lines = {(one.where, one.operation): branch for one, branch in made if one.where}
    found: list[tuple[int, int]] = []
    for site in graph.run.sites:
        if site.order in known or (site.where, site.operation) not in lines:
            continue
        like = lines[site.where, site.operation]
        sources = [graph.site(source) for source, _ in graph.feeders.get(site.order, []) if source >= 0]
        makers = [one.order for one in sources if (one.where, one.operation) == (like.where, like.operation)]
        if len(makers) == 1:
            found.append((site.order, makers[0]))
    return found
