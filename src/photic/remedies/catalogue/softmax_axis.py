"""A softmax over the axis of what is shared out."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.softmaxes import over_one_key, summed_whole
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("saturated-attention", "idle-layer"), changes="function", sources=("vaswani2017attention",), rank=0)
def softmax_axis(graph: Graph) -> Prescription | str:
    """A softmax that runs over an axis of length 1 runs over the axis before it; one whose shares are added up again, over another.

    What it changes: `[batch, keys, 1]` is shared out over the keys; `[batch, words, topics]` over the topics, where a sum over the words follows.

    When not to: where the single entry is meant; then the softmax can go.
    """
    single = over_one_key(graph)
    if summed := summed_whole(graph):
        return _over_another(graph, [softmax for softmax, _ in summed])
    if not single:
        return "no softmax runs over an axis of length 1, and no sum over the axis of its softmax"
    axes = {site.name: [axis for axis in range(1, len(site.shape)) if site.shape[axis] > 1] for site in single}
    if not all(axes.values()):
        return "there is no other axis to share out over"
    size, axis = single[0].shape[axes[single[0].name][-1]], axes[single[0].name][-1]
    return Prescription(
        axes={name: found[-1] for name, found in axes.items()}, why=f"shares over the {size} entries of axis {axis}"
    )


def _over_another(graph: Graph, softmaxes: list[int]) -> Prescription | str:
    axes: dict[str, int] = {}
    for site in (graph.site(index) for index in softmaxes):
        own = int(site.settings.get("dim", -1)) % len(site.shape)
        others = [axis for axis in range(1, len(site.shape)) if site.shape[axis] > 1 and axis != own]
        if not others:
            return "there is no other axis to share out over"
        axes[site.name] = others[-1] - len(site.shape)
    return Prescription(axes=axes, why="the sum over the axis of a softmax is 1: share out over another")
