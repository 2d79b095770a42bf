"""Stream growth: by what a residual stream without normalisation grows, over all of its sums and at each."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import residual_branches
from photic.diagnosis.stream import passed_by_batch

LOUDER = 2.0  # a branch that is no louder than the stream at most doubles it


@dataclass(frozen=True)
class StreamGrowth:
    """The size after the last sum over that before the first branch, the same for each sum that all passes, and the branches.

    Beyond `LOUDER` at each sum what is added is louder than what it is added to.
    """

    ratio: float
    each: float
    branches: int
    sums: tuple[int, ...]

    @property
    def louder(self) -> bool:
        """Whether what is added is too loud by itself: no lack of a normalisation explains it."""
        return self.each > LOUDER


def stream_growth(graph: Graph, *, fewest: int = 6) -> StreamGrowth | None:
    """Return by what the stream grows; None with fewer branches, with a normalisation anywhere, or where it is not known."""
    branches = residual_branches(graph)
    if len(branches) < fewest or any(site.kind == "normalisation" for site in graph.run.sites):
        return None
    sums = tuple(site.order for site in graph.run.sites if site.kind == "sum" and site.phase == "model")
    first, last = graph.reading(min(branches[0])).signal, graph.reading(sums[-1]).signal
    sources = [source for source, _ in graph.feeders.get(min(branches[0]), []) if source >= 0]
    before = graph.reading(sources[0]).signal if sources else graph.run.inputs
    if before is None or last is None or first is None or before.rms <= 0.0:
        return None
    passed = [
        i for i in passed_by_batch(graph) if graph.site(i).operation == "add" and len(graph.feeders.get(i, [])) == 2
    ]
    ratio = last.rms / before.rms
    return StreamGrowth(ratio, ratio ** (1.0 / max(len(passed), 1)), len(branches), sums)
