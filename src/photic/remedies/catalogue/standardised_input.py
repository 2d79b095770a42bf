"""Inputs with mean 0 and deviation 1."""

from __future__ import annotations

from photic.diagnosis.epsilons import drowned
from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.diagnosis.rules.unscaled_input import unscaled_input
from photic.diagnosis.told_nothing import shut_entrance
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

SMALL = 0.02  # of the unit that is wanted, where a normalisation's epsilon is larger than the signal


@remedy(
    treats=(
        "unscaled-input",
        "saturated-activation",
        "diverging",
        "non-finite",
        "exploding-gradient",
        "learning-rate-too-large",
        "stalled-training",
        "dead-units",
        "frozen-by-epsilon",
        "class-prior-only",
    ),
    changes="function",
    sources=("lecun1998", "cs231n"),
    rank=2,
)
def standardised_input(graph: Graph) -> Prescription | str:
    """Each column of the input with mean 0 and deviation 1.

    What it changes: what the first layer sees; mean and deviation are those of the training batches.

    When not to: with token numbers, or columns whose scale means something to the model.
    """
    small = graph.run.inputs is not None and 0.0 < graph.run.inputs.rms < SMALL and bool(drowned(graph))
    lost = one_for_all(graph)
    underflows = lost is not None and lost.how == "underflowed"
    if unscaled_input(graph, None) is None and not small and not underflows and shut_entrance(graph) is None:
        return "the input is about of unit size already"
    return Prescription(
        standardised_input=True, why="inputs with mean 0 and deviation 1 are what initialisations are made for"
    )
