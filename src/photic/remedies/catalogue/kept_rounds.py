"""A list in the place of an iterator that the first forward uses up."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("paszke2017",), rank=0)
def kept_rounds(graph: Graph) -> Prescription | str:
    """`list(zip(convs, norms))` in the place of `zip(convs, norms)` on a module: it can be gone through again.

    What it changes: every forward runs the layers, not only the first.

    When not to: where the layers are meant to run once.
    """
    if not graph.run.used_up:
        return "no iterator over modules is an attribute of the model"
    return Prescription(relisted=graph.run.used_up, why="an iterator is empty after the first forward: keep a list")
