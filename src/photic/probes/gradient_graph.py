"""The gradient graph: which autograd nodes make each site, who feeds whom, and what passes back along each edge."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from photic.kernels.moments import moments
from photic.probes.updates import as_real
from photic.records.moments import Moments, combined
from photic.records.runs import EdgeReading
from photic.records.sites import INPUT


@dataclass(frozen=True, slots=True)
class Slot:
    """One output of one autograd node: a value that consumers take."""

    node: Node
    number: int

    def __hash__(self) -> int:
        return hash((id(self.node), self.number))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slot) and self.node is other.node and self.number == other.number


@dataclass(slots=True)
class _Contribution:
    """The gradient that one site passes back to one slot; the sum over its taps until it can be judged."""

    taps: int = 0
    total: Tensor | None = None
    norm: float | None = None
    along: float | None = None  # projection on the direction of the whole gradient of the slot


@dataclass(slots=True)
class _Taps:
    """Where to listen at one node."""

    slots: dict[int, tuple[Slot, int]] = field(default_factory=dict[int, tuple[Slot, int]])  # input k -> slot, site
    outputs: set[int] = field(default_factory=set[int])  # numbers of the outputs that belong to the node's site


class GradientGraph:
    """Knows the autograd nodes of every site; after `listen` and a backward pass, the gradients at all of them.

    Keeps nodes alive, no values: a gradient tensor is held only while a value's other consumers are awaited.
    """

    def __init__(
        self, hear: Callable[[int, Tensor], None] | None = None, fault: Callable[[Exception], None] | None = None
    ) -> None:
        self._tell = hear
        self._fault = fault
        self.deaf = False  # after the first backward: of a second one through the same graph the gradients are others
        self.site_of: dict[Node, int] = {}
        self.leaves: dict[int, Tensor] = {}  # by id
        self.leaf_users: defaultdict[int, set[int]] = defaultdict(set)
        self._taps: defaultdict[Node, _Taps] = defaultdict(_Taps)
        self._contributions: defaultdict[Slot, dict[int, _Contribution]] = defaultdict(dict)
        self._gradients: defaultdict[int, dict[Slot, Moments]] = defaultdict(dict)

    def add_site(self, site: int, outputs: Sequence[Tensor]) -> set[int]:
        """Make the unknown nodes behind `outputs` those of `site`; return the sites that feed it.

        `INPUT` is among them if a leaf that is no parameter does.
        """
        feeders: set[int] = set()
        pending: list[Node] = []
        for output in outputs:
            node = output.grad_fn
            if node is None:
                continue
            if node not in self.site_of:
                self.site_of[node] = site
                pending.append(node)
            if self.site_of[node] == site:
                self._taps[node].outputs.add(output.output_nr)
        while pending:
            node = pending.pop()
            for position, (before, number) in enumerate(node.next_functions):
                if before is None:
                    continue
                leaf: Any = getattr(before, "variable", None)
                if isinstance(leaf, Tensor) and not before.next_functions:
                    self.leaves[id(leaf)] = leaf
                    self.leaf_users[id(leaf)].add(site)
                    if not isinstance(leaf, torch.nn.Parameter):
                        feeders.add(INPUT)
                elif before not in self.site_of:
                    self.site_of[before] = site
                    pending.append(before)
                elif self.site_of[before] != site:
                    feeders.add(self.site_of[before])
                    slot = Slot(before, number)
                    self._taps[node].slots[position] = (slot, site)
                    contribution = self._contributions[slot].setdefault(site, _Contribution())
                    contribution.taps += 1
                    self._taps[before].outputs.add(number)
        return feeders

    def forget(self, sites: set[int]) -> None:
        """Keep the nodes of these sites alive no longer; no site that stays may be fed by one of them."""
        for node in [node for node, site in self.site_of.items() if site in sites]:
            del self.site_of[node]
            self._taps.pop(node, None)
        for slot, contributions in list(self._contributions.items()):
            for site in sites & contributions.keys():
                del contributions[site]
            if not contributions or slot.node not in self.site_of:
                del self._contributions[slot]

    def listen(self) -> None:
        """Hook every node that matters. Call it once, after the forward pass and before the backward pass."""
        for node, taps in self._taps.items():
            taps.slots = {k: (slot, site) for k, (slot, site) in taps.slots.items() if self._is_shared(slot)}
            if taps.slots or taps.outputs:
                node.register_hook(_Listener(self, node, taps))

    def reentrant_checkpoints(self) -> set[int]:
        """Return the sites that are reentrant checkpoints: their operations run again during the backward pass."""
        return {site for node, site in self.site_of.items() if node.name() == "CheckpointFunctionBackward"}

    def _is_shared(self, slot: Slot) -> bool:
        """Whether the slot's gradient is a sum; else the whole is the contribution and need not be read twice."""
        contributions = self._contributions[slot]
        return len(contributions) > 1 or next(iter(contributions.values())).taps > 1

    def listened(
        self, node: Node, taps: _Taps, passed: Sequence[Tensor | None], arrived: Sequence[Tensor | None]
    ) -> None:
        """Hear, and hand an error of ours to `fault` if there is one: a user's backward must not fail of it."""
        if self.deaf:
            return
        try:
            self.hear(node, taps, passed, arrived)
        except Exception as error:
            if self._fault is None:
                raise
            self._fault(error)

    def hear(self, node: Node, taps: _Taps, passed: Sequence[Tensor | None], arrived: Sequence[Tensor | None]) -> None:
        """Read the gradients of one executed node."""
        site = self.site_of[node]
        for number in taps.outputs:
            whole = arrived[number] if number < len(arrived) else None
            if whole is None:
                continue
            slot = Slot(node, number)
            read = moments(whole)
            if self._tell is not None and site not in self._gradients:
                self._tell(site, whole)
            self._gradients[site][slot] = read
            contributions = self._contributions.get(slot, {})
            if contributions and not self._is_shared(slot):
                only = next(iter(contributions.values()))
                only.norm = only.along = read.norm
                continue
            for contribution in contributions.values():
                if contribution.total is not None:
                    contribution.norm = moments(contribution.total).norm
                    contribution.along = _projection(contribution.total, whole, read)
                    contribution.total = None
        for position, (slot, consumer) in taps.slots.items():
            part = passed[position] if position < len(passed) else None
            if part is not None:
                contribution = self._contributions[slot][consumer]
                part = part.detach()
                contribution.total = part if contribution.total is None else contribution.total + part

    def gradient(self, site: int) -> Moments | None:
        """Return the moments of the gradient that arrived at the site's outputs; None if none did."""
        return combined(list(self._gradients[site].values())) if site in self._gradients else None

    def edges(self) -> dict[tuple[int, int], EdgeReading]:
        """Return what passed back along each edge (source, target)."""
        slots_of: defaultdict[tuple[int, int], list[tuple[Slot, _Contribution]]] = defaultdict(list)
        for slot, contributions in self._contributions.items():
            for target, contribution in contributions.items():
                slots_of[self.site_of[slot.node], target].append((slot, contribution))
        return {edge: self._edge_reading(edge, parts) for edge, parts in slots_of.items()}

    def _edge_reading(self, edge: tuple[int, int], parts: Sequence[tuple[Slot, _Contribution]]) -> EdgeReading:
        source, target = edge
        heard = [(slot, part) for slot, part in parts if part.norm is not None]
        if not heard:
            return EdgeReading(None, None, None)
        norm = math.hypot(*(part.norm or 0.0 for _, part in heard))
        wholes = self._gradients.get(source, {})
        whole = math.hypot(*(wholes[slot].norm for slot, _ in heard if slot in wholes))
        # Slots are different coordinates of one vector: inner products add.
        inner = sum((part.along or 0.0) * wholes[slot].norm for slot, part in heard if slot in wholes)
        arrived = self.gradient(target)
        return EdgeReading(
            gradient_norm=norm,
            gain=norm / arrived.norm if arrived is not None and arrived.norm > 0.0 else None,
            cosine=max(-1.0, min(1.0, inner / norm / whole)) if norm > 0.0 and whole > 0.0 else None,
        )

    def gain(self, site: int, edges: Iterable[EdgeReading]) -> float | None:
        """Return the norm of all that the site passed back over the norm of what arrived at it."""
        norms = [edge.gradient_norm for edge in edges if edge.gradient_norm is not None]
        arrived = self.gradient(site)
        if not norms or arrived is None or arrived.norm == 0.0:
            return None
        return math.hypot(*norms) / arrived.norm


class _Listener:
    """A node's post-hook; a class, so that no closure keeps more alive than it must."""

    def __init__(self, graph: GradientGraph, node: Node, taps: _Taps) -> None:
        self.graph, self.node, self.taps = graph, node, taps

    def __call__(self, passed: Any, arrived: Any) -> None:
        self.graph.listened(self.node, self.taps, passed, arrived)


def _projection(part: Tensor, whole: Tensor, read: Moments) -> float | None:
    """Return <part, whole> / |whole|, computed on numbers scaled to at most 1."""
    if read.norm == 0.0 or not math.isfinite(read.norm) or read.maximum == 0.0:
        return None
    unit, along = (as_real(each.detach()).to(torch.float64) for each in (whole, part))
    return float((along * (unit / read.maximum)).sum()) / (read.norm / read.maximum)
