"""Operations along the batch taken along the axis after it."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_ALONG = ("sort", "argsort", "cumsum", "cumprod", "logcumsumexp")


@remedy(treats=("mixed-examples",), changes="function", sources=("karpathy2019",), rank=0)
def own_axis(graph: Graph) -> Prescription | str:
    """A sort, or a running sum, over the axis of the batch goes over the next axis: the places of one example.

    What it changes: what an example gives depends on it alone.

    When not to: where examples are to be ranked against each other.
    """
    rows = {graph.site(index).shape[0] for index in graph.run.outputs if graph.site(index).shape}
    found = {
        site.name: 1
        for site in graph.run.sites
        if site.operation in _ALONG
        and site.phase == "model"
        and len(site.shape) > 1
        and {site.shape[0]} == rows
        and site.settings.get("dim") in (0, -len(site.shape))
    }
    if not found:
        return "nothing is sorted or summed up along the batch"
    return Prescription(axes=found, why="the first axis is the batch: go along the next one")
