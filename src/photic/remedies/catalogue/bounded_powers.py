"""A tanh before what multiplies a signal with itself."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.powers import polynomial_modules
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("exploding-gradient", "non-finite"), changes="function", sources=("glorot2010",), rank=3)
def bounded_powers(graph: Graph) -> Prescription | str:
    """What enters a module that takes powers of it, a polynomial for one, goes through a tanh first.

    What it changes: powers of what lies between -1 and 1 stay there; those of larger numbers grow with every degree.

    When not to: where the polynomial is the formula that is looked for, and its arguments are in their own units.
    """
    names = [name for name, _ in polynomial_modules(graph) if name]
    if not names:
        return "no module of the model multiplies its signal with itself to the third power"
    return Prescription(
        squashed=tuple(names), why="powers of what is not bounded grow with the degree: a tanh before them"
    )
