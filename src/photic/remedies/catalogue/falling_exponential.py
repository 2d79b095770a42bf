"""An exponential that grows without bound made one that cannot rise above 1."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.origins import calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_PRODUCTS = ("mul", "matmul", "bmm", "einsum")
TURNS = 3  # of a loop
LARGE = 20.0  # e^20 is half a billion: what is this large is no weight of a sum


@remedy(treats=("non-finite", "exploding-in-time"), changes="function", sources=("orvieto2023",), rank=2)
def falling_exponential(graph: Graph) -> Prescription | str:
    """exp(-softplus(-x)) in place of exp(x): a factor below 1 for every x, as the decay of a state is.

    What it changes: where x is far below 0 nothing; above it the exponential stays below 1, with a slope.

    When not to: where growth is meant (a density, a rate); then the exponent is to be smaller.
    """
    names = _overflowing(graph) or _factors(graph)
    if not names:
        return "no exponential of the model overflows, or multiplies a state by more than 1 turn after turn"
    return Prescription(
        mapped=dict.fromkeys(names, "negative"),
        why="exp(-softplus(-x)) is exp(x) far below 0, and never above 1: a factor of decay",
    )


def _overflowing(graph: Graph) -> tuple[str, ...]:
    site = not_finite_at(graph)
    if site is None or site.operation != "exp" or site.phase != "model":
        return ()
    given = [graph.reading(source).signal for source, _ in graph.feeders.get(site.order, []) if source >= 0]
    return calls_like(graph, site) if any(signal is not None and signal.maximum > LARGE for signal in given) else ()


def _factors(graph: Graph) -> tuple[str, ...]:
    """Return the exponentials of one line, three or more, that exceed 1 and multiply what the one before was multiplied into."""
    by_line: dict[str, list[int]] = {}
    for site in graph.run.sites:
        signal, takers = graph.reading(site.order).signal, graph.consumers.get(site.order, [])
        multiplies = any(graph.site(index).operation in _PRODUCTS for index in takers)
        if (
            site.operation == "exp"
            and site.phase == "model"
            and multiplies
            and signal is not None
            and signal.maximum > 1.0
        ):
            by_line.setdefault(site.where, []).append(site.order)
    for turns in by_line.values():
        products = [min(i for i in graph.consumers[turn] if graph.site(i).operation in _PRODUCTS) for turn in turns]
        if len(turns) >= TURNS and products[-1] in graph.descendants(products[:1]):
            return tuple(graph.site(index).name for index in turns)
    return ()
