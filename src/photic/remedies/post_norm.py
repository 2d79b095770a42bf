"""Post-norm: residual sums that are each followed by a normalisation, with where the stream enters the branch."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.records.sites import INPUT


@dataclass(frozen=True)
class NormalisedSum:
    """norm(x + f(x)).

    Attributes:
        sum: name of the sum's site.
        stream: name of the site that makes x.
        normalisation: name of the module.
        entrances: sites that take x into f.
    """

    sum: str
    stream: str
    normalisation: str
    entrances: tuple[str, ...]


def normalised_sums(graph: Graph) -> list[NormalisedSum]:
    """Return them in order of execution; sums whose normalisation is no module of its own are left out."""
    found: list[NormalisedSum] = []
    for site in graph.run.sites:
        after = graph.consumers.get(site.order, [])
        sources = [source for source, _ in graph.feeders.get(site.order, [])]
        if site.kind != "sum" or site.phase != "model" or len(after) != 1 or len(sources) != 2 or INPUT in sources:
            continue
        norm = graph.site(after[0])
        if norm.operation not in ("layer_norm", "rms_norm") or "/" in norm.name:
            continue
        below = [graph.ancestors([source]) for source in sources]
        stream = 0 if sources[0] in below[1] else 1 if sources[1] in below[0] else None
        if stream is None:
            continue
        x, branch = sources[stream], sources[1 - stream]
        inside = below[1 - stream] | {branch}
        entrances = tuple(graph.site(c).name for c in graph.consumers.get(x, []) if c in inside)
        found.append(NormalisedSum(site.name, graph.site(x).name, norm.name, entrances))
    return found
