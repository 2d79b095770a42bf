"""The logarithm of a function that overflows or rounds to 0, computed in one piece."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
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
    if site.operation not in (*STABLE, *_LOGARITHMS):
        return f"`{site.operation}` is no logarithm of a function, and no function that a logarithm is taken of"
    pairs: list[tuple[str, str, str]] = []
    for one in graph.run.sites:
        makers = [graph.site(source) for source, _ in graph.feeders.get(one.order, []) if source >= 0]
        if one.operation in _LOGARITHMS and len(makers) == 1 and makers[0].operation in STABLE:
            pairs.append((makers[0].name, one.name, makers[0].operation))
    like = set(calls_like(graph, site))
    pairs = [pair for pair in pairs if like & set(pair[:2])]
    if not pairs:
        return f"no logarithm is taken of what `{site.operation}` makes"
    return Prescription(
        stable_logs=tuple(pairs),
        why=f"log and {pairs[0][2]} in one: finite where {pairs[0][2]} overflows or rounds to 0",
    )
