"""The batch moved to the front before an axis is folded into it."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph
from photic.records.sites import Site
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_RECURRENT = ("gru", "lstm", "rnn_tanh", "rnn_relu")
_FOLDS = ("view", "reshape", "flatten")


@remedy(treats=("mixed-examples",), changes="function", sources=("karpathy2019",), rank=0)
def rows_first(graph: Graph) -> Prescription | str:
    """`x.transpose(0, 1)` before a `view` or `reshape` that takes the batch from the second axis to the first, or back.

    What it changes: which numbers stand in one row: the states of one example, or its steps, not those of its neighbours.

    When not to: where the order in memory is meant.
    """
    sizes = {graph.site(index).shape[0] for index in graph.run.outputs if graph.site(index).shape}
    size = sizes.pop() if len(sizes) == 1 else 0
    found: list[str] = []
    for site in graph.run.sites:
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if site.operation not in _FOLDS or len(sources) != 1 or size < 2:
            continue
        maker = graph.site(sources[0]) if sources[0] >= 0 else None
        back = maker is not None and site.shape[:1] == (size,) and _second(maker, site, size)
        if back or _to_the_second(maker, site, size):
            found.append(site.name)
    if not found:
        return "no view or reshape takes the batch from the second axis to the first, or back"
    return Prescription(
        rows_first=tuple(found), why="view and reshape keep the order in memory: change the axes over before"
    )


def _to_the_second(maker: Site | None, fold: Site, size: int) -> bool:
    """Whether (batch, steps, ...), or what enters the model, is given as (steps, batch, features)."""
    if len(fold.shape) != 3 or fold.shape[1] != size or fold.shape[0] == size:
        return False
    return maker is None or maker.shape[:2] == (size, fold.shape[0])


def _second(maker: Site, fold: Site, size: int) -> bool:
    """Whether what is folded has its batch along the second axis, as the last states of a recurrent layer have."""
    if maker.operation in _RECURRENT and math.prod(maker.shape) != math.prod(fold.shape):
        return math.prod(fold.shape) > size * maker.shape[-1]
    return len(maker.shape) > 2 and maker.shape[0] != size and maker.shape[1] == size
