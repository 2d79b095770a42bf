"""bfloat16 in place of float16."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=("gradient-underflow", "non-finite"),
    changes="training",
    sources=("kalamkar2019", "micikevicius2018"),
    rank=4,
)
def bfloat16(graph: Graph) -> Prescription | str:
    """Weights and numbers in bfloat16, which reaches as far as float32.

    What it changes: the type of all weights and of what enters, from float16 to bfloat16: range for digits.

    When not to: where steps are below 1/256 of the weights, which bfloat16 rounds away; then keep float32 weights.
    """
    if not any(site.dtype == "float16" for site in graph.run.sites if site.phase == "model"):
        return "nothing is computed in float16"
    return Prescription(
        precision="bfloat16",
        why="bfloat16 has the range of float32; float16 ends at 6e-8 and 65504 (Kalamkar et al. 2019)",
    )
