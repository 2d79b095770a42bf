"""The logarithm of a function that overflows or rounds to 0, computed in one piece."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.records.sites import Site
from photic.remedies.origins import FINITE, calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy
from photic.remedies.stable_logs import STABLE

_LOGARITHMS = ("log", "log2", "log10")


@remedy(treats=("non-finite",), changes="function", sources=("higham2002",), rank=-1)
def stable_logarithm(graph: Graph) -> Prescription | str:
    """log f(x) as one function of x: for f an exponential, a Bessel function, cosh, erfc, a sigmoid, a softmax or a determinant.

    What it changes: nothing where f(x) is an ordinary number; where it overflows or rounds to 0, the logarithm and its slope are those of
    the formula.

    When not to: never; torch has `log_softmax`, `logsigmoid`, `log_ndtr` and `i0e` for it.
    """
    site = not_finite_at(graph)
    if site is None:
        return FINITE
    if site.operation not in (*STABLE, *_LOGARITHMS, "mul"):
        return f"`{site.operation}` is no logarithm of a function, and no function that a logarithm is taken of"
    pairs: list[tuple[str, str, str, float]] = []
    like = set(calls_like(graph, site))
    for one in graph.run.sites:
        made = _made(graph, one.order) if one.operation in _LOGARITHMS else None
        if made is not None and like & {one.name, *(each.name for each in made[0])}:
            (*_, function), factor = made
            pairs.append((function.name, one.name, function.operation, factor))
    if not pairs:
        return f"no logarithm is taken of what `{site.operation}` makes"
    return Prescription(
        stable_logs=tuple(pairs),
        why=f"log and {pairs[0][2]} in one: finite where {pairs[0][2]} overflows or rounds to 0",
    )


def _made(graph: Graph, logarithm: int) -> tuple[list[Site], float] | None:
    """Return the product with a positive number that a logarithm is taken of, if there is one, the function before it, and the number."""
    way: list[Site] = []
    factor, index = 1.0, logarithm
    while len(way) < 2:
        makers = [source for source, _ in graph.feeders.get(index, [])]
        if len(makers) != 1 or makers[0] < 0:
            return None
        index = makers[0]
        way.append(graph.site(index))
        if way[-1].operation in STABLE:
            return way, factor
        number = way[-1].settings.get("other")
        if way[-1].operation != "mul" or not isinstance(number, (int, float)) or not number > 0.0:
            return None
        factor = float(number)
    return None
