"""Views: two codes of one encoder that a loss draws together, with nothing that keeps the codes of different examples apart."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph


@dataclass(frozen=True)
class Collapsed:
    """A comparison of two codes; the one that lies nearer to the encoder, and the share of it that differs, first and last."""

    site: int
    code: int
    first: float
    last: float


def collapsed_views(graph: Graph, *, share: float = 0.1, fallen: float = 0.2) -> list[Collapsed]:
    """Return the comparisons of two codes of shared weights, both of which get a gradient, that end in one code for all examples.

    What differs between the examples falls to a fifth of what it was, and below a tenth of the mean square: without a goal that
    stands still it fell to 0.07 to 0.12 of what it was within 60 steps, with one to 0.4 to 0.6.
    """
    if len(graph.run.steps) < 2:
        return []
    first, last = graph.first, graph.last
    found: list[Collapsed] = []
    for site in graph.run.sites:
        drawn = [(source, r) for source, r in first.feeders.get(site.order, []) if source >= 0 and r.gradient_norm]
        if (
            site.operation not in ("cosine_similarity", "mse_loss")
            or len(drawn) != 2
            or not _shared(graph, drawn[0][0], drawn[1][0])
        ):
            continue
        code = min(source for source, _ in drawn)
        early, late = (each.reading(code).spread for each in (first, last))
        if early is None or late is None or not early.examples > share > late.examples:
            continue
        if late.examples < fallen * early.examples:
            found.append(Collapsed(site.order, code, early.examples, late.examples))
    return found


def _shared(graph: Graph, one: int, other: int) -> bool:
    """Whether the same trained weights make both, from other calls or from the same."""
    names = [
        {
            p.name
            for index in graph.ancestors([code]) | {code}
            for p, _ in graph.parameters.get(index, [])
            if p.trainable
        }
        for code in (one, other)
    ]
    return bool(names[0] & names[1])
