"""An epsilon for an autograd function that is given none."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import FINITE, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

EPSILON = 1e-5  # torch's own, of normalisations


@remedy(treats=("non-finite",), changes="function", sources=("ba2016",), rank=0)
def floored_function(graph: Graph) -> Prescription | str:
    """An autograd function of the user's is given 1e-5 where it is given a plain 0, as the epsilon of a norm.

    What it changes: the numbers of 0.0 among the arguments of that function.

    When not to: where that number is no epsilon: a 0 that switches something off.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    operation = site.operation
    if not operation[:1].isupper():  # torch's own operations are written small
        return f"`{operation}` is no autograd function of the user's"
    return Prescription(floors={operation: EPSILON}, why=f"{operation} divides by what may be 0: give it an epsilon")
