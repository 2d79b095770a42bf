"""Growing states: what a loop makes again and again, each time of the last, and each time larger."""

from __future__ import annotations

from itertools import pairwise

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import FEWEST, lines
from photic.diagnosis.loops import turns as turns_of

_PRODUCTS = ("mul", "matmul", "bmm", "einsum")
_TURNS = 3  # of a loop


def growing_states(graph: Graph, growth: float) -> list[tuple[int, tuple[float, ...]]]:
    """Return the sizes (rms) at each turn of every state of a loop that grows so many times, with its first site.

    It grows in the second half as in the first, by the square root of it all; a sum of like parts only doubles there, and a state
    that fills up stands. Each turn is made of the one before with the same parameters: layers that one line calls in turn differ in them.
    """
    found: list[tuple[int, tuple[float, ...]]] = []
    for sites in lines(graph):
        for turns in turns_of(sites):
            sizes = tuple(_size(graph, index) for index in turns)
            first = next((place for place, size in enumerate(sizes) if size > 0.0), len(sizes))
            sizes, turns = sizes[first:], turns[first:]
            if (
                len(sizes) < FEWEST
                or sizes[-1] < growth * sizes[0]
                or sizes[-1] ** 2 < growth * sizes[len(sizes) // 2] ** 2
            ):
                continue
            if _recurs(graph, turns):
                found.append((turns[0], sizes))
                break
    return found


def growing_exponentials(graph: Graph) -> tuple[str, ...]:
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
        if len(turns) >= _TURNS and products[-1] in graph.descendants(products[:1]):
            return tuple(graph.site(index).name for index in turns)
    return ()


def _size(graph: Graph, index: int) -> float:
    signal = graph.reading(index).signal
    return 0.0 if signal is None or signal.nonfinite else signal.rms


def _recurs(graph: Graph, turns: list[int]) -> bool:
    """Whether each is made of the one before, with the same parameters each time."""
    used: list[frozenset[str]] = []
    for before, after in pairwise(turns):
        between = {after}
        for index in range(after, before, -1):  # feeders stand before what they feed
            if index in between:
                between.update(source for source, _ in graph.feeders.get(index, []) if source >= before)
        if before not in between:
            return False
        own = graph.descendants_among([before], between)
        used.append(frozenset(p.name for index in own for p, _ in graph.parameters.get(index, [])))
    return len(set(used)) == 1
