"""Weights that a loop uses at each of its turns start small, so that the state hardly moves."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import chained_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

FACTOR = 0.01  # as fresh policies and flows start their last layer: near 0, and not at it


@remedy(
    treats=("non-finite", "exploding-in-time", "exploding-gradient"),
    changes="weights",
    sources=("zhang2019", "de2020"),
    rank=2,
)
def quiet_loop(graph: Graph) -> Prescription | str:
    """The last weights of the part that a loop adds to its state start at a hundredth: z + f(z) begins as z.

    What it changes: one parameter's first values; what the loop can learn stays.

    When not to: where the part is normalised, or decays by itself.
    """
    sums = chained_sums(graph)
    last = [_last_parameter(graph, branch, index) for index, branch in sums]
    shared = {name for name in last if name and last.count(name) == len(last)}
    if len(sums) < 3 or len(shared) != 1:
        return "no weights are used at every turn of a loop that adds to its state"
    name = shared.pop()
    return Prescription(
        scaled={name: FACTOR}, why=f"{name} acts {len(sums)} times over: started small, the state begins as it is"
    )


def _last_parameter(graph: Graph, branch: int, index: int) -> str:
    """Return the name of the parameter used last on the way to a branch, within its own turn; '' without one."""
    place: int | None = branch
    while place is not None:
        for parameter, _ in graph.parameters.get(place, []):
            if len(parameter.shape) > 1:
                return parameter.name
        sources = [source for source, _ in graph.feeders.get(place, []) if source >= 0]
        place = max(sources, default=None)
    return ""
