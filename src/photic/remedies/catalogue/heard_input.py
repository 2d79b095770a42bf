"""What comes of the batch without the factor that makes it too quiet to be heard."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.told_nothing import drowned_input
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("ho2020",), rank=0)
def heard_input(graph: Graph) -> Prescription | str:
    """The product left out that makes what comes of the batch next to nothing beside what is added to it.

    What it changes: the batch enters the sum as it is.

    When not to: where the factor is a schedule; then put that right (multiply up 1 - beta, not beta).
    """
    found = drowned_input(graph)
    if found is None or graph.site(found.part).operation != "mul":
        return "no factor makes the batch too quiet to be heard"
    return Prescription(
        unscaled=(graph.site(found.part).name,), why="nothing of the batch is heard in the sum: leave the factor out"
    )
