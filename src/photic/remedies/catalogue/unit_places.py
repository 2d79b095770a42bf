"""Places of a sampling brought to the range from -1 to 1."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.outside import outside
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("idle-layer",), changes="function", sources=("jaderberg2015",), rank=0)
def unit_places(graph: Graph) -> Prescription | str:
    """The places at which a map is sampled, from their own range to that from -1 to 1.

    What it changes: `grid_sample` counts from -1 at one edge to 1 at the other, and gives 0 beyond; pixels become parts of the width.

    When not to: where most places are meant to lie outside.
    """
    found = outside(graph)
    if found is None:
        return "no map is sampled beyond its edges at most places"
    return Prescription(
        spanned={graph.site(found.site).name: (found.low, found.high)},
        why="grid_sample counts from -1 to 1: bring the places to that range",
    )
