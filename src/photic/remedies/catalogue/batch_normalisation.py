"""Batch normalisation before every hidden activation."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.roles import hidden_activations
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=(
        "vanishing-gradient",
        "saturated-activation",
        "missing-normalisation",
        "weights-too-small",
        "weights-too-large",
    ),
    changes="function",
    sources=("ioffe2015", "yang2019"),
    rank=5,
)
def batch_normalisation(graph: Graph) -> Prescription | str:
    """Batch normalisation, without parameters, before every hidden activation.

    What it changes: what enters each unit gets mean 0 and deviation 1 over the examples of a batch; running statistics
    take their place in evaluation.

    When not to: in deep networks without skips, where the gradient grows by pi / (pi - 1) a layer behind ReLU (Yang et al.
    2019), with batches of a few examples, or over the steps of a sequence.
    """
    acting = hidden_activations(graph)
    if not acting:
        return "there is no hidden activation"
    if any(site.kind == "normalisation" and site.phase == "model" for site in graph.run.sites):
        return "the network is normalised already"
    if min((graph.site(index).shape or (0,))[0] for index in acting) < 8:
        return "batches of fewer than 8 examples have no statistics to normalise with"
    return Prescription(
        normalised=tuple(graph.site(index).name for index in acting),
        normalisation="batch",
        why="batch normalisation keeps what enters each unit at mean 0 and deviation 1 (Ioffe & Szegedy 2015)",
    )
