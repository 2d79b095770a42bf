"""Channels moved to the end before places are made rows."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.scrambled import folds_channels, of_channels
from photic.records.sites import Site
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only", "mixed-examples"), changes="function", sources=("karpathy2019",), rank=1)
def channels_last(graph: Graph) -> Prescription | str:
    """`x.movedim(1, -1)` before a `view` or `reshape` that makes rows of C numbers of what has its C channels along the second axis.

    What it changes: the numbers of a row are the channels of one place, not one channel of several places. In the place of
    `x.transpose(1, 3)` it leaves the places in their order, rows by columns.

    When not to: where the channels lie along the last axis already.
    """
    found: list[str] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if len(sources) != 1 or sources[0] < 0 or not of_channels(graph, sources[0]):
            continue
        if _changes_over(site) and not any(
            _changes_over(graph.site(above)) for above in graph.descendants([site.order])
        ):
            found.append(site.name)
        if folds_channels(graph, site.order):
            found.append(site.name)
    if not found:
        return "no view or reshape makes rows of channels of what has them along the second axis"
    return Prescription(
        channels_last=tuple(found),
        mends=any(name.startswith("<loss>") for name in found),
        why="the channels lie along the second axis: move them to the end",
    )


def _changes_over(site: Site) -> bool:
    """Whether the second axis of four changes its place with the last: the channels with the columns."""
    axes = {site.settings.get("dim0"), site.settings.get("dim1")}
    return site.operation == "transpose" and len(site.shape) == 4 and axes in ({1, 3}, {1, -1}, {-3, -1}, {-3, 3})
