"""The scale of initial weights, beside what the activation after them wants."""

from __future__ import annotations

import math

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


def off_scale(graph: Graph) -> tuple[list[int], float]:
    """Return the hidden layers on the main path that have a wanted scale, and the geometric mean of found over wanted.

    Layers on residual branches are left out, and so are weights that are all 0 and the last layer; 1.0 without layers.
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
    if not ratios:
        return [], 1.0
    return list(ratios), math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios))
