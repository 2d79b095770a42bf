"""An exponential that grows without bound made one that cannot rise above 1."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.growing_states import growing_exponentials
from photic.remedies.origins import calls_like, not_finite_at
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

LARGE = 20.0  # e^20 is half a billion: what is this large is no weight of a sum


@remedy(treats=("non-finite", "exploding-in-time"), changes="function", sources=("orvieto2023",), rank=2)
def falling_exponential(graph: Graph) -> Prescription | str:
    """exp(-softplus(-x)) in place of exp(x): a factor below 1 for every x, as the decay of a state is.

    What it changes: where x is far below 0 nothing; above it the exponential stays below 1, with a slope.

    When not to: where growth is meant (a density, a rate); then the exponent is to be smaller.
    """
    names = _overflowing(graph) or growing_exponentials(graph)
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
