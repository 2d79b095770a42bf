"""Learning rate from a range test on copies."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(
    treats=(
        "learning-rate-too-large",
        "learning-rate-too-small",
        "diverging",
        "non-finite",
        "stalled-training",
        "frozen-by-epsilon",
        "exploding-gradient",
        "unscaled-target",
        "dead-units",
    ),
    changes="training",
    sources=("cs231n",),
    rank=3,
)
def tested_learning_rate(graph: Graph) -> Prescription | str:
    """The learning rate that lowers the loss most in a range test.

    What it changes: the learning rate of every parameter group, by a factor found on copies of the set-up.

    When not to: where the gradient does not arrive; no rate moves a layer that gets none.
    """
    if not any(parameter.learning_rate for parameter in graph.run.parameters):
        return "no optimizer with a learning rate was given"
    return Prescription(search_rate=True, why="learning rate from a range test")
