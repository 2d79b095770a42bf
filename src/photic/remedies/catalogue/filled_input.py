"""Numbers of the batch that are not finite filled in."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

COMMON = 0.1  # of all numbers: so many are not missing by chance


@remedy(treats=("non-finite",), changes="training", sources=("little2019",), rank=0)
def filled_input(graph: Graph) -> Prescription | str:
    """0 in the place of every number of the batch that is nan or infinite.

    What it changes: missing values alone; 0 is the mean where columns are standardised.

    When not to: where many are missing, or for a reason that the answer depends on: then say by a further column which they are.
    """
    run = graph.run
    entering = run.broke_inputs if run.broke_inputs is not None and run.broke is not None else run.inputs
    if entering is None or not entering.nonfinite:
        return "all numbers that enter are finite"
    if entering.nonfinite > COMMON * entering.count:
        return "more than a tenth of what enters is not finite"
    return Prescription(filled_input=True, why="numbers of the batch are not finite: fill them in")
