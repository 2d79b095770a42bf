"""One choice: examples that differ, of which all are given the same entry of a table."""

from __future__ import annotations

from dataclasses import dataclass

from photic.diagnosis.graph import Graph
from photic.diagnosis.stream import maker

_APART = 1e-9  # of the mean square of what is chosen by; float32 rounds at 1e-14
_ALIKE = 1e-10  # of the mean square of the output
_READS = ("embedding", "embedding_bag", "getitem", "index_select")


@dataclass(frozen=True)
class OneChoice:
    """A site that makes one whole number of all examples, the sites that read a table there, and whether the outputs are one as well."""

    site: int
    readers: tuple[int, ...]
    whole: bool


def one_choice(graph: Graph) -> OneChoice | None:
    """Return the first choice that is the same for all examples, at the first reading and at the last, though what it is made by differs.

    What is read there is a table: nothing else that enters the reading comes from the batch, and an output is made of it.
    """
    if len(graph.run.steps) < 2:
        return None
    first, last, outputs = graph.first, graph.last, set(graph.run.outputs)
    for site in graph.run.sites:
        facts = [each.reading(site.order).choice for each in (first, last)]
        if not all(
            fact is not None and fact.made == 1 and fact.count >= 8 and fact.entering > _APART for fact in facts
        ):
            continue
        readers = tuple(
            index for index in _readers(graph, site.order) if outputs & (graph.descendants([index]) | {index})
        )
        if readers:
            return OneChoice(
                site.order, readers, all(_alike(each, index) for each in (first, last) for index in outputs)
            )
    return None


def _readers(graph: Graph, index: int) -> list[int]:
    """Return the sites that read a table at these numbers, past what only moves them or changes their type."""
    found: list[int] = []
    for after in graph.consumers.get(index, []):
        site = graph.site(after)
        if {source for source, _ in graph.feeders.get(after, [])} != {index}:
            continue
        rows = [p.shape[0] for p, _ in graph.parameters.get(after, []) if len(p.shape) > 1]
        if site.operation in _READS and site.dtype.startswith(("float", "bfloat")):
            found += [after] if min(rows, default=2) > 1 else []
        elif site.kind == "shape" or site.operation in ("clamp", "clamp_min", "clamp_max", "sub", "add"):
            found += _readers(graph, after)
    return found


def _alike(graph: Graph, index: int) -> bool:
    facts = graph.reading(maker(graph, index)).spread
    return facts is not None and facts.examples < _ALIKE
