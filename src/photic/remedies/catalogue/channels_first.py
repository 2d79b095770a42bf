"""The last axis moved to the second, where a `view` only says so."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.records.sites import INPUT
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_FOLDS = ("view", "reshape")
_TAKES = ("conv1d", "conv2d", "conv3d", "batch_norm", "instance_norm", "group_norm")


@remedy(treats=("mixed-examples", "class-prior-only"), changes="function", sources=("karpathy2019",), rank=1)
def channels_first(graph: Graph) -> Prescription | str:
    """`x.movedim(-1, 1)` in the place of `x.reshape(b, c, h, w)` of what enters as [b, h, w, c], and of `x.view(b, f, t)` of [b, t, f].

    What it changes: a channel is one colour of the picture, one feature of the series, not a strip of all.

    When not to: where what enters lies in memory as the new shape says.
    """
    found: list[str] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        taken = [graph.site(above).operation for above in graph.consumers.get(site.order, [])]
        if (
            site.operation not in _FOLDS
            or len(site.shape) < 3
            or len(sources) != 1
            or not any(one in _TAKES for one in taken)
        ):
            continue
        before = () if sources[0] == INPUT else graph.site(sources[0]).shape
        moved = before[:1] + before[-1:] + before[1:-1]
        if sources[0] == INPUT or (moved == site.shape and before != site.shape):
            found.append(site.name)
    if not found:
        return "no view or reshape gives channels along the second axis to a convolution"
    return Prescription(channels_first=tuple(found), why="view and reshape keep the order in memory: move the axis")
