"""Scrambled: rows that a reshape makes of maps whose channels lie along the second axis: each holds one channel of several places."""

from __future__ import annotations

import math

from photic.diagnosis.graph import Graph

_FOLDS = ("view", "reshape")
_CHANNELS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_KEEPS = ("activation", "normalisation", "pool")
_OF_CLASSES = ("cross_entropy", "nll_loss", "log_softmax", "softmax")


def folds_channels(graph: Graph, index: int) -> bool:
    """Whether a site makes rows of as many numbers as there are channels, of maps that a convolution made, without moving these to the end."""
    site, sources = graph.site(index), [source for source, _ in graph.feeders.get(index, [])]
    if site.operation not in _FOLDS or len(sources) != 1 or sources[0] < 0 or not of_channels(graph, sources[0]):
        return False
    before = graph.site(sources[0]).shape
    return len(before) > 2 and math.prod(before[2:]) > 1 and site.shape[-1:] == before[1:2] and site.shape != before


def scrambled_rows(graph: Graph) -> int | None:
    """Return the first such site in the loss whose rows are taken for the scores of classes; None without one."""
    for site in graph.run.sites:
        after = {graph.site(taker).operation for taker in graph.consumers.get(site.order, [])}
        rows = site.phase == "loss" and len(site.shape) == 2 and site.shape[1] > 1 and bool(after & set(_OF_CLASSES))
        if rows and folds_channels(graph, site.order) and _told_apart(graph, site.order):
            return site.order
    return None


def _told_apart(graph: Graph, index: int) -> bool:
    """Whether a map has another number of places than of channels: of rows of as many of either it cannot be told which they are."""
    before = graph.site(graph.feeders[index][0][0]).shape
    return before[1] not in (math.prod(before[2:]), before[-1])


def of_channels(graph: Graph, index: int) -> bool:
    """Whether a convolution made a signal, or what keeps its axes went on with it."""
    while index >= 0:
        site = graph.site(index)
        if site.operation in _CHANNELS:
            return True
        sources = [source for source, _ in graph.feeders.get(index, []) if source >= 0]
        if len(sources) != 1 or not (site.kind in _KEEPS or site.operation in ("dropout", "batch_norm", "group_norm")):
            return False
        index = sources[0]
    return False
