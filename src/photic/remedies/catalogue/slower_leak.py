"""A state that leaks as slowly as the sequence is long."""

from __future__ import annotations

import itertools

from photic.diagnosis.graph import Graph
from photic.diagnosis.loops import lines, turns
from photic.diagnosis.loud_factor import of_one_signal
from photic.remedies.prescription import Prescription
from photic.remedies.registry import remedy

_TWICE = 2.0  # a state that is kept for half of the steps or longer is left as it is


@remedy(treats=("vanishing-in-time",), changes="function", sources=("tallec2018",), rank=0)
def slower_leak(graph: Graph) -> Prescription | str:
    """A written-out state with a fixed leak, `h = (1 - a) * h + a * new` or `h = h + a * (new - h)`, leaks by a = 1 / T over T steps.

    What it changes: the two numbers, 1 - a by which the state is multiplied at each step and a by which what is new is.

    When not to: where the time constant is the law of what is simulated; there a longer one is another system.
    """
    factors: dict[str, float] = {}
    sums = [line for line in lines(graph) if graph.site(line[0]).operation in ("add", "sub")]
    for sites in (part for line in sums for part in turns(line)):
        each = [_leak(graph, before, after) for before, after in itertools.pairwise(sites)]
        known = [one for one in each if one is not None]
        if len(known) == len(each):
            begun = next((part for part in _parts(graph, sites[0]) if _number(graph, part) is not None), None)
            for kept, taken in (*known, (None, begun if known[0][1] is not None else None)):
                factors |= _slowed(graph, kept, taken, float(len(sites)))
    if not factors:
        return "no loop multiplies its state by a fixed number that forgets it within half of the steps"
    return Prescription(
        factors=factors, why="a state that keeps 1 - 1 / T of itself at a step is still there after T steps"
    )


def _leak(graph: Graph, before: int, after: int) -> tuple[int | None, int | None] | None:
    """Return the product that keeps the state from one sum to the next and the one that takes in what is new; None where there is no leak."""
    parts = _parts(graph, after)
    products = [part for part in parts if _number(graph, part) is not None]
    kept = next((part for part in products if _source(graph, part) == before), None)
    new = next((part for part in products if part != kept), None)
    if kept is not None:
        return kept, new
    if before in parts and new is not None and before in _taken(graph, new):
        return None, new  # h + a * (new - h)
    return None


def _slowed(graph: Graph, kept: int | None, taken: int | None, steps: float) -> dict[str, float]:
    """Return the factors with which the leak is 1 / steps; none where it is as slow already."""
    share = None if taken is None else _number(graph, taken)
    keeps = _number(graph, kept) if kept is not None else None if share is None else 1.0 - share
    if keeps is None or not 0.0 < keeps < 1.0 - _TWICE / steps:
        return {}
    found: dict[str, float] = {}
    if kept is not None:
        found[graph.site(kept).name] = (1.0 - 1.0 / steps) / keeps
    if taken is not None and share is not None and abs(keeps + share - 1.0) < 1e-3:
        found[graph.site(taken).name] = 1.0 / steps / share
    return found


def _number(graph: Graph, index: int) -> float | None:
    """Return the fixed number by which a site multiplies the one signal that it takes, if it is one."""
    if index < 0 or not of_one_signal(graph, index):
        return None
    settings, operation = graph.site(index).settings, graph.site(index).operation
    other = settings.get("other")
    if operation == "div" and "reflected" in settings:
        return None  # a number over the signal
    if not isinstance(other, (int, float)) or operation not in ("mul", "div") or not other > 0.0:
        return None
    return float(other) if operation == "mul" else 1.0 / other


def _source(graph: Graph, index: int) -> int:
    return next(iter(_parts(graph, index)), -1)


def _parts(graph: Graph, index: int) -> list[int]:
    return [source for source, _ in graph.feeders.get(index, [])]


def _taken(graph: Graph, product: int) -> set[int]:
    """Return what the difference under a product is made of: `new - h`, or `-h + new`."""
    difference = _source(graph, product)
    if difference < 0 or graph.site(difference).operation not in ("sub", "add"):
        return set()
    parts = {source for source, _ in graph.feeders.get(difference, [])}
    if graph.site(difference).operation == "sub":
        return parts
    return {_source(graph, part) for part in parts if part >= 0 and graph.site(part).operation == "neg"}
