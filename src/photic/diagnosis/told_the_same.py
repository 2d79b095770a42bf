"""Told the same: layers that are given one value for all examples of a batch, by an operation that makes one of what differs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from photic.diagnosis.cuts import FLAT_STEPS
from photic.diagnosis.graph import Graph
from photic.diagnosis.one_for_all import SAME, SPREADS
from photic.diagnosis.stream import maker
from photic.records.sites import INPUT

_DRAWN = ("embedding", "one_hot", "gather", "index_select")
_TRUTH = ("gt", "lt", "ge", "le", "eq", "ne", "isnan", "isfinite", "logical_not", "logical_and", "logical_or",
          "bitwise_not")  # fmt: skip
_DIFFER = 1e-6  # of the mean square: so much is seen to differ

# What differs; the same for all, though made of the batch; no matter of the batch.
Told = Literal["told", "alike", "apart"]


@dataclass(frozen=True)
class ToldTheSame:
    """The operations that make one value of what differs, and the trained layers that are given nothing else.

    `on_purpose` says that it may be meant: all examples are brought together in one row (a mean over them), and each is given that.
    """

    sites: tuple[int, ...]
    layers: tuple[int, ...]
    on_purpose: bool


def told_the_same(graph: Graph) -> ToldTheSame | None:
    """Return what tells trained layers the same of every example, first and last; None where an output tells nothing apart, or none is so.

    Such a layer is a bias, however many weights it has, and the layers below hear nothing by it. What is made of parameters alone
    (queries that are learned) differs for nobody and is no matter of this.
    """
    if len(graph.run.steps) < 2 or not graph.run.outputs:
        return None
    rows = {graph.site(index).shape[:1] for index in graph.run.outputs}
    if len(rows) != 1 or rows == {()} or rows == {(1,)}:
        return None
    seen = _Seen(graph, rows.pop()[0])
    if not any(seen.of(index) == "told" for index in graph.run.outputs):
        return None
    layers = [index for index in graph.layers() if _trained(graph, index) and seen.given(index) == "alike"]
    alike = set(layers)
    layers = [index for index in layers if uses(graph, index) <= alike]
    sites = [index for index in sorted(graph.ancestors(layers)) if seen.of(index) == "alike" and seen.differs(index)]
    sites = [index for index in sites if seen.given(index) == "told" and graph.site(index).kind != "weight"]
    if any(graph.site(i).kind == "activation" and graph.site(i).operation not in FLAT_STEPS for i in sites):
        return None  # units at their flat end: training moves them, and they have rules of their own
    if not layers or not sites:
        return None
    meant = all(graph.site(index).shape[:1] != (seen.rows,) for index in sites)
    return ToldTheSame(tuple(sites), tuple(layers), meant)


class _Seen:
    """What each site tells of the examples."""

    def __init__(self, graph: Graph, rows: int) -> None:
        self.graph, self.rows = graph, rows
        self._known: dict[int, Told] = {
            INPUT: "told" if graph.run.columns is not None or graph.run.whole_differ else "apart"
        }
        for site in graph.run.sites:  # in order of execution: what feeds a site is known before it
            self._known[site.order] = self._judged(site.order)

    def of(self, index: int) -> Told:
        """Return what a site gives."""
        return self._known[index]

    def given(self, index: int) -> Told:
        """Return what a site is given."""
        entering = [self._known[source] for source in self._sources(index) if source in self._known]
        if not entering and self.graph.site(index).operation in _DRAWN:
            return "told" if self.graph.run.whole_differ else "apart"
        return "told" if "told" in entering else "alike" if "alike" in entering else "apart"

    @cached_property
    def _steps(self) -> tuple[Graph, Graph]:
        return self.graph.first, self.graph.last

    def _judged(self, index: int) -> Told:
        given, site = self.given(index), self.graph.site(index)
        if given != "told":
            return given
        if site.phase != "model" or site.operation in (*_DRAWN, *_TRUTH):
            return "told"
        if site.kind == "shape" and (moved := self._moved(index)) is not None:
            return moved
        if site.shape[:1] != (self.rows,):
            return "alike" if site.shape[:1] == (1,) and site.kind == "pooling" else "told"
        readings = [step.reading(index) for step in self._steps]
        signals = [reading.signal for reading in readings]
        if all(signal is not None and signal.count and signal.rms == 0.0 for signal in signals):
            return "alike"
        shares = [None if reading.spread is None else reading.spread.examples for reading in readings]
        return "alike" if all(share is not None and share < SAME for share in shares) else "told"

    def differs(self, index: int) -> bool:
        """Whether something that enters a site was seen to differ between the examples, first and last."""
        return any(
            source >= 0 and all(self._seen_to(step, source) for step in self._steps) for source in self._sources(index)
        )

    def _seen_to(self, step: Graph, index: int) -> bool:
        made = maker(self.graph, index)
        spread = step.reading(made).spread
        whole = self.graph.site(made).shape[:1] == (self.rows,)
        return whole and spread is not None and spread.examples > _DIFFER

    def _moved(self, index: int) -> Told | None:
        """Return what a site gives that hands a value to more places; None where it does not."""
        spread = self._sources(index)
        return self._known[spread[0]] if self.graph.site(index).operation in SPREADS and len(spread) == 1 else None

    def _sources(self, index: int) -> list[int]:
        """Return what a site takes numbers from: of `x.expand_as(y)` not y."""
        site, sources = self.graph.site(index), [source for source, _ in self.graph.feeders.get(index, [])]
        smaller = [source for source in sources if source >= 0 and self.graph.site(source).shape != site.shape]
        return smaller if site.operation in SPREADS and smaller else sources


def _trained(graph: Graph, index: int) -> bool:
    own = [p for p, _ in graph.parameters.get(index, []) if p.trainable and p.owned is not False]
    return graph.site(index).kind == "weight" and any(len(p.shape) > 1 for p in own)


def uses(graph: Graph, index: int) -> set[int]:
    """Return all layers that use the trained weights of one, as the steps of a loop do: what is heard at another step is heard."""
    used = {site for p, _ in graph.parameters.get(index, []) if p.trainable for site in p.sites}
    return used & set(graph.layers())
