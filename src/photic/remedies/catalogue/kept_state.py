"""A written-out recurrence that keeps the length of its state."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import loops
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_PRODUCTS = ("matmul", "linear", "mm", "addmm", "bmm", "einsum")


@remedy(
    treats=("vanishing-in-time", "exploding-in-time"), changes="weights", sources=("saxe2014", "orvieto2023"), rank=2
)
def kept_state(graph: Graph) -> Prescription | str:
    """The matrix of a loop orthogonal, and factors that decay its state between 0.9 and 0.999.

    What it changes: the initial values of the parameter that a loop uses again at every step.

    When not to: where the state is to be forgotten within a few steps.
    """
    shapes = {parameter.name: parameter.shape for parameter in graph.run.parameters}
    drawn: list[tuple[str, str]] = []
    for loop in loops(graph):
        shape, operation = shapes[loop.parameter], graph.site(loop.sites[0]).operation
        if len(shape) == 2 and shape[0] % shape[1] == 0 and operation in _PRODUCTS:
            drawn.append((loop.parameter, "orthogonal"))
        elif len(shape) < 2 and operation == "mul":
            drawn.append((loop.parameter, "decay"))
    if not drawn:
        return "no loop is written out that uses a square matrix or a factor at every step"
    return Prescription(loops=tuple(drawn), why="a state that is kept from step to step keeps its gradient as well")
