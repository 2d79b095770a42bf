"""A term of the loss with the other sign."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

SIGNS = {"add": (1.0, 1.0), "sub": (1.0, -1.0)}


@remedy(treats=("diverging",), changes="training", sources=("kingma2014",), rank=1)
def turned_term(graph: Graph) -> Prescription | str:
    """A term that pulls the loss below 0 gets the other sign.

    What it changes: of the sums and differences of whole terms in the loss, the term that lies below 0 and falls most while
    training is added where it was subtracted, or the reverse.

    When not to: a bonus that has a limit, as the entropy of a policy; such a loss does not run away.
    """
    falls: list[tuple[float, str, int]] = []
    for site in graph.run.sites:
        feeders = [source for source, _ in graph.feeders.get(site.order, [])]
        if site.phase != "loss" or site.operation not in SIGNS or len(feeders) != 2 or min(feeders) < 0:
            continue
        for place, (source, sign) in enumerate(zip(feeders, SIGNS[site.operation], strict=True)):
            first, last = (g.reading(source).signal for g in (graph.first, graph.last))
            if first is None or last is None or first.count != 1 or last.nonfinite:
                continue
            if sign * last.mean < min(0.0, sign * first.mean):
                falls.append((sign * (last.mean - first.mean), site.name, place))
    if not falls:
        return "no term of the loss lies below 0 and falls"
    _, name, place = min(falls)
    return Prescription(
        balance={name: (place, -1.0)}, why="this term has no lower bound where it is subtracted: the other sign"
    )
