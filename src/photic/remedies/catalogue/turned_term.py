"""A term of the loss with the other sign."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy


@remedy(treats=("diverging",), changes="training", sources=("kingma2014",), rank=1)
def turned_term(graph: Graph) -> Prescription | str:
    """A term that pulls the loss below 0 gets the other sign.

    What it changes: of the sums and differences of whole terms in the loss, the term that lies below 0 and falls most while
    training is added where it was subtracted, or the reverse.

    When not to: a bonus that has a limit, as the entropy of a policy; such a loss does not run away.
    """
    falls: list[tuple[float, str, str]] = []
    for site in graph.run.sites:
        if site.phase != "loss" or site.operation not in ("add", "sub") or site.shape:
            continue
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        before, after = _terms(graph.first, site.order), _terms(graph.last, site.order)
        for source, first, last in zip(sources, before, after, strict=False):
            if last < min(0.0, first):
                falls.append((last - first, site.name, graph.site(source).name))
    if not falls:
        return "no term of the loss lies below 0 and falls"
    _, name, source = min(falls)
    return Prescription(
        balance={name: (source, -1.0)}, why="this term has no lower bound as it is counted: the other sign"
    )


def _terms(graph: Graph, index: int) -> list[float]:
    """Return the two terms of a sum or difference as they count, in the order of their sites; none where that is not known."""
    found = [graph.reading(source).signal for source, _ in graph.feeders.get(index, []) if source >= 0]
    whole, negative = graph.reading(index).signal, graph.site(index).operation == "sub"
    values = [term.mean for term in found if term is not None and term.count == 1 and not term.nonfinite]
    if len(values) != 2 or whole is None or whole.nonfinite:
        return []
    one, other = values
    if not negative:
        return [one, other]
    # Feeders come in the order in which they ran, which need not be that of the arguments.
    turned = abs(other - one - whole.mean) < abs(one - other - whole.mean)
    return [-one, other] if turned else [one, -other]
