"""What the optimizer moved, kept: the forward writes into no weights."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.held_still import held_still
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("paszke2017",), rank=1)
def kept_updates(graph: Graph) -> Prescription | str:
    """Weights that each step moves, and that are put back before the next, are written into by the optimizer alone.

    What it changes: calls of the forward that write into these weights do nothing.

    When not to: where the weights are a copy of others on purpose; then they are not to be trained.
    """
    held = held_still(graph)
    if held is None or held.how != "taken back":
        return "nothing takes back what the optimizer moved"
    names = [p.name for p in graph.run.parameters if p.trainable and set(p.sites) & set(held.layers)]
    return Prescription(
        unwritten=tuple(names),
        why="what each step learns is put back before the next: let nothing else write the weights",
    )
