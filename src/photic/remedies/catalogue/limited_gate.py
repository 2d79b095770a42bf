"""An exponential gate that keeps a state and never makes it grow."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.growing_states import growing_exponentials
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("exploding-in-time",), changes="function", sources=("gers2000", "beck2024"), rank=2)
def limited_gate(graph: Graph) -> Prescription | str:
    """exp(min(x, 0)) in place of the exp(x) by which a loop multiplies its state: at most 1, where the state is kept as it is.

    What it changes: exponents above 0 count 0. `falling-exponential` keeps a slope there, and forgets half of the state at x = 0.

    When not to: where what is kept is divided by what the gates have let in (exponential gates with a normaliser).
    """
    names = growing_exponentials(graph)
    if not names:
        return "no exponential of the model multiplies a state by more than 1 turn after turn"
    return Prescription(
        guards=dict.fromkeys(names, (None, 0.0)), why="a gate above 1 is that number to the power of the steps"
    )
