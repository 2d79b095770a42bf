"""Float32 for weights and numbers."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("gradient-underflow", "rounding-frozen", "zero-epsilon", "non-finite"),
    changes="training",
    sources=("micikevicius2018", "zamirai2020"),
    rank=3,
)
def single_precision(graph: Graph) -> Prescription | str:
    """Weights and numbers in float32.

    What it changes: the type of all weights and of what enters.

    When not to: where memory allows half precision only; then keep float32 weights beside it.
    """
    operations = {site.dtype for site in graph.run.sites if site.phase == "model"}
    if not operations & {"float16", "bfloat16"}:
        return "nothing is computed in half precision"
    return Prescription(precision="float32", why="float32: steps and gradients are too small for half precision")
