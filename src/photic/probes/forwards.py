"""Forwards: what the forward pass tells of one site, and the inputs of a call before it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from photic.probes.time_axis import TimeTap
from photic.records.moments import Moments
from photic.records.runs import ChoiceFacts, GateFacts, ShareFacts, SpreadFacts, TimeFacts, UnitFacts, WeightFacts
from photic.records.sites import Site


@dataclass(slots=True)
class Forward:
    """What the forward pass tells of one site."""

    site: Site
    feeders: set[int]
    signal: Moments | None
    weight: WeightFacts | None
    units: UnitFacts | None
    channel_axis: int | None
    time: TimeTap | None = None
    times: TimeFacts | None = None
    spread: SpreadFacts | None = None
    shares: ShareFacts | None = None
    choice: ChoiceFacts | None = None
    gates: GateFacts | None = None
    given: Moments | None = None
    divided: Tensor | None = None  # what each example is divided by
    asked: float | None = None

    def time_facts(self) -> TimeFacts | None:
        """Return the facts of a recurrent layer with the gradients that came since."""
        if self.time is None or self.times is None:
            return None
        return replace(self.times, gradient_norms=self.time.norms or ())


@dataclass(slots=True)
class Before:
    """Inputs of a call as they are before it runs."""

    tensors: list[Tensor]
    nodes: list[Any]
    versions: list[int]
    feeders: set[int]
    carried_gradient: bool
    signal: Tensor | None

    def changed(self, place: int) -> bool:
        """Whether the call has changed the input at that place."""
        tensor = self.tensors[place]
        if tensor.grad_fn is not self.nodes[place]:
            return True
        return not tensor.is_inference() and tensor._version != self.versions[place]
