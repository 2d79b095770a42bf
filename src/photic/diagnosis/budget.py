"""The gradient budget: what each operation on the main path does to the gradient, and the sums over blocks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from photic.diagnosis.graph import Graph
from photic.records.profiles import Block, BudgetLine, JoinPart

_UNITY = 1e-6  # a join that changes the norm by less is no join


def budget(graph: Graph, path: Sequence[int]) -> tuple[BudgetLine, ...]:
    """Return the gains down the path; their product is exactly the transport to its last site.

    Where several consumers take a value their contributions, which are vectors, meet: that is a line of its own.
    """
    factors: list[tuple[str, str, str, float, str, tuple[JoinPart, ...]]] = []
    for target, source in pairwise(path):
        passed = next(reading for s, reading in graph.feeders[target] if s == source)
        arrived, whole = graph.gradient_norm(target), graph.gradient_norm(source)
        if passed.gradient_norm is None or not arrived or whole is None:
            break
        site, below = graph.site(target), graph.site(source)
        factors.append((site.name, site.operation, site.kind, passed.gradient_norm / arrived, site.module, ()))
        if passed.gradient_norm > 0.0 and abs(whole / passed.gradient_norm - 1.0) > _UNITY:
            modules = [graph.site(consumer).module for consumer in graph.consumers.get(source, [])]
            parts = _parts(graph, source, target, whole)
            factors.append((below.name, "join", "join", whole / passed.gradient_norm, common_module(modules), parts))
    total = sum(math.log(gain) for _, _, _, gain, _, _ in factors if gain > 0.0)
    return tuple(
        BudgetLine(
            name, operation, kind, gain, math.log(gain) / total if gain > 0.0 and total != 0.0 else 0.0, module, parts
        )
        for name, operation, kind, gain, module, parts in factors
    )


def _parts(graph: Graph, source: int, on_path: int, whole: float) -> tuple[JoinPart, ...]:
    found: list[JoinPart] = []
    for consumer in graph.consumers.get(source, []):
        for feeder, reading in graph.feeders.get(consumer, []):
            if feeder == source and reading.gradient_norm is not None and whole > 0.0:
                norm = reading.gradient_norm / whole
                share = None if reading.cosine is None else norm * reading.cosine
                found.append(JoinPart(graph.site(consumer).name, norm, reading.cosine, share, consumer == on_path))
    return tuple(found)


def common_module(paths: Iterable[str]) -> str:
    """Return the innermost module that holds all the given ones.

    Example:
        >>> common_module(["layers.3.norm", "layers.3"]), common_module(["layers.3", "layers.4"])
        ('layers.3', 'layers')
    """
    split = [path.split(".") if path else [] for path in paths]
    if not split:
        return ""
    shared: list[str] = []
    for names in zip(*split, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return ".".join(shared)


def _ancestors(path: str) -> list[str]:
    names = path.split(".") if path else []
    return [".".join(names[:count]) for count in range(len(names) + 1)]


def blocks(graph: Graph, lines: Sequence[BudgetLine], top_norm: float | None) -> tuple[Block, ...]:
    """Return every module that holds two operations, and those beside such a one; parents first."""
    inside: defaultdict[str, list[int]] = defaultdict(list)
    layers = set(graph.layers())
    for site in graph.run.sites:
        if site.phase == "model":
            for path in _ancestors(site.module):
                inside[path].append(site.order)
    logs: defaultdict[str, list[float]] = defaultdict(list)
    shares: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        for path in _ancestors(line.module):
            logs[path].append(math.log(line.gain) if line.gain > 0.0 else -math.inf)
            shares[path] += line.share
    around = {path: _ancestors(path)[-2] if path else "" for path in inside}
    holding = {around[path] for path, sites in inside.items() if path and len(sites) >= 2}
    kept = [path for path, sites in inside.items() if not path or len(sites) >= 2 or around[path] in holding]
    children: defaultdict[str, list[str]] = defaultdict(list)
    for path in kept:
        if path:
            children[around[path]].append(path)
    found: list[Block] = []
    for path in kept:
        last = graph.reading(inside[path][-1])
        arrived = None if last.gradient is None or top_norm is None else last.gradient.norm / top_norm
        found.append(
            Block(
                path=path,
                operations=len(inside[path]),
                layers=len(layers.intersection(inside[path])),
                gain=math.exp(sum(logs[path])) if path in logs else None,
                share=shares[path],
                signal_rms=None if last.signal is None else last.signal.rms,
                transport=arrived,
                children=tuple(children[path]),
            )
        )
    return tuple(found)
