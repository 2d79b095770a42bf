"""Loops: recurrences that the user wrote out step by step, known by a parameter, or a line, that is used again and again along one way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from photic.diagnosis.graph import Graph

_ON_A_LINE = 3  # of one operation: so many begin what may be a chain
_IN_A_TURN = 4  # operations of one kind that one line makes at each turn, at most
_BODY = 60  # sites of one turn at most
FEWEST = 8  # uses of one parameter, each on the way to the next


@dataclass(frozen=True)
class Loop:
    """One recurrence.

    Attributes:
        parameter: name of the first parameter that it uses at every step.
        sites: the sites that use it, in order of time.
        norms: norm of the gradient at the output of each; None where none arrived.
    """

    parameter: str
    sites: tuple[int, ...]
    norms: tuple[float | None, ...]

    @property
    def heard(self) -> bool:
        """Whether a gradient arrived at every step."""
        return all(norm is not None for norm in self.norms)

    @property
    def times(self) -> tuple[float, ...]:
        """The norms, 0 where none arrived."""
        return tuple(norm or 0.0 for norm in self.norms)


def loops(graph: Graph) -> list[Loop]:
    """Return the recurrences of a network; of several parameters that are used together the first stands for all."""
    found: list[Loop] = []
    seen: set[int] = set()
    # What only makes another form of a parameter leads to no output.
    answering = set(graph.run.outputs) | graph.ancestors(graph.run.outputs)
    for parameter in graph.run.parameters:
        sites = tuple(site for site in parameter.sites if site in answering and graph.site(site).phase == "model")
        if len(sites) < FEWEST or seen & set(sites):
            continue
        chain = next((part for part in turns(list(sites)) if _follow(graph, part)), None)
        if chain is not None:
            seen |= set(sites)
            found.append(Loop(parameter.name, tuple(chain), tuple(graph.gradient_norm(site) for site in chain)))
    return found


def _follow(graph: Graph, sites: list[int]) -> bool:
    """Whether each of the sites takes what the one before it makes, by whatever way."""
    return all(after in graph.descendants([before]) for before, after in pairwise(sites))


def in_time(graph: Graph) -> list[tuple[int, tuple[float, ...]]]:
    """Return the gradient at each time step of every fused recurrent layer and every loop, with its (first) site."""
    fused = [
        (site.order, tuple(times.gradient_norms))
        for site in graph.run.sites
        if (times := graph.reading(site.order).times) is not None and len(times.gradient_norms) >= 4
    ]
    return fused + [(loop.sites[0], loop.times) for loop in loops(graph) if loop.heard]


def own_backwards(graph: Graph, growth: float) -> list[tuple[int, tuple[float, ...]]]:
    """Return the gradient at each time that a function of the user's hands back so many times larger than it got it, with its site.

    It grows against time, in each half by a good part of it all: what stands large at one place alone comes from a place that is read.
    """
    found: list[tuple[int, tuple[float, ...]]] = []
    for site in graph.run.sites:
        reading = graph.reading(site.order)
        norms, gain = reading.handed_back, reading.gain
        if not norms or gain is None or not gain > growth or not norms[-1] > 0.0:
            continue
        middle = norms[len(norms) // 2]
        if norms[0] > growth * norms[-1] and min(norms[0] / middle, middle / norms[-1]) > growth**0.25:
            found.append((site.order, norms))
    return found


def lines(graph: Graph) -> list[list[int]]:
    """Return the sites that one line of the model makes by one operation in one shape, `FEWEST` times or more, in order of execution."""
    found: defaultdict[tuple[str, str, str, tuple[int, ...]], list[int]] = defaultdict(list)
    for site in graph.run.sites:
        if site.phase == "model" and site.kind in ("sum", "other", "activation"):
            found[site.module, site.where, site.operation, site.shape].append(site.order)
    return [sites for sites in found.values() if len(sites) >= FEWEST]


def turns(sites: list[int]) -> list[list[int]]:
    """Return the sites of a line, and every second, third or fourth of them: one line may make several at each turn of a loop."""
    parts = [sites[start::each] for each in range(1, _IN_A_TURN + 1) for start in range(each)]
    return [part for part in parts if len(part) >= FEWEST]


def chains(graph: Graph) -> list[tuple[int, ...]]:
    """Return the sites of every loop whose state meets no parameter on its way and hears at each turn.

    One line makes the same operation in the same shape again and again, each on what the one before made: a memory that is
    multiplied by a gate or a decay, a simulation. Layers that one line calls in turn have weights of their own between them.
    """
    found = [max((_chain(graph, sites[start:]) for start in range(_ON_A_LINE)), key=len) for sites in lines(graph)]
    heard = [chain for chain in found if all(graph.gradient_norm(index) is not None for index in chain)]
    return [tuple(chain) for chain in heard if len(chain) >= FEWEST]


def weightless(graph: Graph) -> list[tuple[int, tuple[float, ...]]]:
    """Return the gradient at each step of every such loop, with its first site."""
    return [(chain[0], tuple(graph.gradient_norm(index) or 0.0 for index in chain)) for chain in chains(graph)]


def _chain(graph: Graph, sites: list[int]) -> list[int]:
    """Return the first of the sites and those of the others that follow from each other."""
    chain = sites[:1]
    for index in sites[1:]:
        if index - chain[-1] <= _BODY and _handed_on(graph, chain[-1], index):
            chain.append(index)
    return chain


def _handed_on(graph: Graph, before: int, after: int) -> bool:
    """Whether a site's output reaches a later one, and all that lies on the way uses no parameter."""
    reaching = {after}
    for index in range(after, before, -1):  # feeders stand before what they feed
        if index in reaching:
            reaching.update(source for source, _ in graph.feeders.get(index, []) if source >= before)
    between = graph.descendants_among([before], reaching)
    return before in reaching and not any(graph.parameters.get(index) for index in between | {before, after})


def state_cuts(graph: Graph) -> tuple[Loop, list[int]] | None:
    """Return a loop of which only the last step gets a gradient, and the detached states between its steps; None without one."""
    for loop in loops(graph):
        if loop.norms[-1] is None or any(norm is not None for norm in loop.norms[:-1]):
            continue
        inside = graph.descendants([loop.sites[0]]) & graph.ancestors([loop.sites[-1]])
        cuts = sorted(index for index in inside if graph.site(index).operation in ("detach", "data"))
        if cuts:
            return loop, cuts
    return None
