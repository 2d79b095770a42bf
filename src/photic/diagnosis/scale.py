"""The scale of initial weights, beside what the activation after them wants."""

from __future__ import annotations

import math
from collections.abc import Mapping

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import activation_after, matrices, relu_like, residual_branches, written_out
from photic.records.sites import INPUT


def wanted(graph: Graph, index: int) -> float | None:
    """Return fan_in * Var[w] for unit gain: 2 before ReLU and its kin (He), 1 before tanh or nothing (Xavier, LeCun).

    None before a logistic sigmoid and other activations without a usual wish, and before a normalisation, which takes the
    scale away.
    """
    after = graph.consumers.get(index, [])
    while len(after) == 1 and graph.site(after[0]).kind in ("shape", "dropout", "pooling"):
        after = graph.consumers.get(after[0], [])
    if any(graph.site(consumer).kind == "normalisation" for consumer in after):
        return None
    operation = activation_after(graph, index)
    if relu_like(operation):
        return 2.0
    return 1.0 if operation in ("", "tanh", "softsign", "hardtanh", "selu") else None


def scales(graph: Graph) -> dict[int, float]:
    """Return found over wanted fan_in * Var[w], for the hidden layers on the main path that have a wanted one.

    Layers on residual branches and the last layer are left out; and so are weights that are all 0.
    """
    on_path, branches = set(graph.main_path()), {index for branch in residual_branches(graph) for index in branch}
    ratios: dict[int, float] = {}
    for index in matrices(graph)[:-1]:
        facts, need = graph.reading(index).weight, wanted(graph, index)
        if (
            index in on_path
            and index not in branches
            and facts is not None
            and need is not None
            and facts.row_square_sum
        ):
            ratios[index] = facts.row_square_sum / need
    return ratios


def stretches(graph: Graph) -> dict[int, float]:
    """Return by how much more than wanted each trained layer stretches the mean square of what enters, its biases left out.

    fan_in * Var[w] of the part that varies around its mean, and the mean square of the rows' sums for the mean: positive weights
    on positive signals stretch by fan_in^2. Products written out with a matrix of their own count as layers do.
    """
    found: dict[int, float] = {}
    for index in [*matrices(graph), *written_out(graph)]:
        facts, need = graph.reading(index).weight, wanted(graph, index)
        if facts is None or need is None or not facts.row_square_sum:
            continue
        sources = [source for source, _ in graph.feeders.get(index, [])]
        entering = graph.run.inputs if sources == [INPUT] else graph.reading(sources[0]).signal if sources else None
        common = 0.0 if entering is None or not entering.rms > 0.0 else (entering.mean / entering.rms) ** 2
        together = facts.row_square_sum * (1.0 - common) + facts.row_sum_square * common
        found[index] = max(facts.row_square_sum, together) / need
    return dict(sorted(found.items()))


def typical(ratios: Mapping[int, float]) -> float:
    """Return the geometric mean; 1 of none."""
    return math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios)) if ratios else 1.0
