"""Numbers multiplied before they are rounded."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import one_for_all
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("class-prior-only",), changes="function", sources=("jacob2018",), rank=1)
def rounded_last(graph: Graph) -> Prescription | str:
    """`(x * k).long()` in the place of `x.long() * k`, where the whole numbers before the product are the same for all examples.

    What it changes: the whole numbers: what lay between two of them is multiplied before it is cut off.

    When not to: where what is rounded first is a class or a place.
    """
    found = one_for_all(graph)
    if found is None or found.how != "rounded":
        return "no rounding makes all examples one"
    rounding = graph.site(found.site)
    after = graph.consumers.get(found.site, [])
    product = graph.site(after[0]) if len(after) == 1 else None
    whole = "int" in rounding.dtype and product is not None and product.dtype == rounding.dtype
    if product is None or not whole or product.operation != "mul" or len(graph.feeders[product.order]) != 1:
        return "what is rounded is not multiplied by a number afterwards"
    return Prescription(
        removed=(rounding.name,),
        rounded=(product.name,),
        why="what lies between 0 and 1 is 0 once it is rounded: multiply first",
    )
