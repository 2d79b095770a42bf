"""Origins: the operation that a finding names, and the calls of it that are treated alike."""

from __future__ import annotations

from photic.diagnosis.graph import Graph
from photic.diagnosis.rules.non_finite import non_finite
from photic.records.sites import Site

FINITE = "no operation makes a number that is not finite"


def not_finite_at(graph: Graph) -> Site | None:
    """Return the operation that makes the first number which is not finite; None where all are, or none is to blame."""
    found = non_finite(graph)
    return None if found is None or not found.sites else graph.run.site(found.sites[0])


def calls_like(graph: Graph, site: Site) -> tuple[str, ...]:
    """Return the names of all calls of a site's operation in its phase, the model or the loss, in order of execution."""
    return tuple(s.name for s in graph.run.sites if s.operation == site.operation and s.phase == site.phase)
