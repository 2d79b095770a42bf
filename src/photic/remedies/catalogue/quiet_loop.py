"""Weights that a loop uses at each of its turns start small, so that the state hardly moves."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import chained_sums
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_PRODUCTS = ("matmul", "bmm", "mul", "einsum")
FACTOR = 0.01  # as fresh policies and flows start their last layer: near 0, and not at it


@remedy(
    treats=("non-finite", "exploding-in-time", "exploding-gradient"),
    changes="weights",
    sources=("zhang2019", "de2020"),
    rank=5,
)
def quiet_loop(graph: Graph) -> Prescription | str:
    """The last weights of what a loop adds to its state, or multiplies it by, start at a hundredth: z + f(z) begins as z.

    What it changes: one parameter's first values; what the loop can learn stays.

    When not to: where the part is normalised, or decays by itself.
    """
    if (name := _factor(graph)) is not None:
        return Prescription(scaled={name: FACTOR}, why=f"{name} multiplies the state at each turn: let it start small")
    sums = chained_sums(graph)
    ways = [(branch, index) for index, branch in sums] if sums else _products(graph)
    last = [_last_parameter(graph, branch) for branch, _ in ways]
    shared = {name for name in last if name and last.count(name) == len(last)}
    if len(ways) < 3 or len(shared) != 1:
        return "no weights are used at every turn of a loop that adds to its state"
    name = shared.pop()
    return Prescription(
        scaled={name: FACTOR}, why=f"{name} acts {len(ways)} times over: started small, the state begins as it is"
    )


def _factor(graph: Graph) -> str | None:
    """Return the parameter that multiplies a state, number by number, turn after turn."""
    for parameter in graph.run.parameters:
        turns = [index for index in parameter.sites if graph.site(index).operation == "mul"]
        if len(turns) >= 3 and parameter.trainable and turns[-1] in graph.descendants(turns[:1]):
            return parameter.name
    return None


def _products(graph: Graph) -> list[tuple[int, int]]:
    """Return (factor, product) of the longest chain of products on one line, each with the one before as its state."""
    best: list[tuple[int, int]] = []
    chains: dict[int, list[tuple[int, int]]] = {}
    for site in graph.run.sites:
        sources = sorted(source for source, _ in graph.feeders.get(site.order, []) if source >= 0)
        if site.operation not in _PRODUCTS or site.phase != "model" or len(sources) != 2:
            continue
        state = next(
            (source for source in sources if source in chains and graph.site(source).where == site.where), None
        )
        factor = next(source for source in reversed(sources) if source != state)
        chains[site.order] = [*chains.get(-1 if state is None else state, []), (factor, site.order)]
        best = max(best, chains[site.order], key=len)
    return best


def _last_parameter(graph: Graph, branch: int) -> str:
    """Return the name of the parameter used last on the way to a branch; '' without one."""
    place: int | None = branch
    while place is not None:
        for parameter, _ in graph.parameters.get(place, []):
            if len(parameter.shape) > 1:
                return parameter.name
        place = max((source for source, _ in graph.feeders.get(place, []) if source >= 0), default=None)
    return ""
