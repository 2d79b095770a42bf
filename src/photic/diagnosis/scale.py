"""The scale of initial weights, beside what the activation after them wants."""

from __future__ import annotations

import math
from collections.abc import Mapping

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import activation_after, matrices, relu_like, residual_branches


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


def scales(graph: Graph, *, everywhere: bool = False) -> dict[int, float]:
    """Return found over wanted fan_in * Var[w], for the hidden layers on the main path that have a wanted one.

    Layers on residual branches and the last layer are left out, unless `everywhere`; and so are weights that are all 0.
    """
    on_path, branches = set(graph.main_path()), {index for branch in residual_branches(graph) for index in branch}
    ratios: dict[int, float] = {}
    for index in matrices(graph)[: None if everywhere else -1]:
        facts, need = graph.reading(index).weight, wanted(graph, index)
        if not everywhere and (index not in on_path or index in branches):
            continue
        if facts is not None and need is not None and facts.row_square_sum:
            ratios[index] = facts.row_square_sum / need
    return ratios


def typical(ratios: Mapping[int, float]) -> float:
    """Return the geometric mean; 1 of none."""
    return math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios)) if ratios else 1.0
