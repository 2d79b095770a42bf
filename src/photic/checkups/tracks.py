"""Tracks: what the watch has read of the steps of one optimizer."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from photic.checkups.schedules import schedule
from photic.records.findings import Finding
from photic.records.runs import Run, SiteReading

WINDOW = 4  # audits in a row in which a unit must be dead to count as dead over a window


@dataclass
class Track:
    """What is known of the steps of one optimizer.

    Attributes:
        dead: for each of the last audits, by site, which units were 0 on every example.
    """

    number: int = 0
    steps: int = 0
    first: Run | None = None
    last: Run | None = None
    losses: list[float] = field(default_factory=list[float])
    audited: list[int] = field(default_factory=list[int])
    seen: dict[str, int] = field(default_factory=dict[str, int])  # problem -> audits in a row
    findings: tuple[Finding, ...] = ()
    dead: deque[Mapping[str, Tensor]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def take(self, run: Run, dead: Mapping[str, Tensor]) -> None:
        """Add an audit."""
        self.dead.append(dead)
        step = run.steps[0]
        self.audited.append(step.step)
        if step.loss is not None:
            self.losses.append(step.loss)
        sites = tuple(self._over_window(site.name, r) for site, r in zip(run.sites, step.sites, strict=True))
        run = dataclasses.replace(run, steps=(dataclasses.replace(step, sites=sites),))
        self.first = self.first or run
        self.last = run

    def settle(self, found: Collection[Finding]) -> list[Finding]:
        """Make the verdict of an audit that of the track, and return the findings that went away.

        What is critical counts at once, of the rest what two audits in a row show.
        """
        gone = [f for f in self.findings if f.problem not in {still.problem for still in found}]
        self.seen = {f.problem: self.seen.get(f.problem, 0) + 1 for f in found}
        self.findings = tuple(
            f for f in found if self.seen[f.problem] >= 2 or len(self.audited) == 1 or f.severity == "critical"
        )
        return gone

    def _over_window(self, name: str, reading: SiteReading) -> SiteReading:
        if reading.units is None or len(self.dead) < 2:
            return reading
        masks = [dead[name] for dead in self.dead if name in dead]
        if len(masks) < 2 or any(mask.shape != masks[0].shape for mask in masks):
            return reading
        share = float(torch.stack(masks).all(0).double().mean())
        return dataclasses.replace(
            reading, units=dataclasses.replace(reading.units, dead_in_window=share, window=len(masks))
        )


class Turns:
    """In which order several optimizers step: two of the critic, one of the generator, and so on."""

    def __init__(self) -> None:
        self._past: deque[int] = deque(maxlen=48)

    def stepped(self, number: int) -> None:
        """Optimizer `number` has stepped."""
        self._past.append(number)

    def due(self, tracks: Collection[Track]) -> bool:
        """Whether the next step is that of an optimizer which was audited less often than another.

        A generator that steps after its critic would never be audited at steps of even numbers.
        """
        most = max((len(track.audited) for track in tracks), default=0)
        behind = {track.number for track in tracks if len(track.audited) < most}
        return bool(behind) and self._expected() in behind

    def _expected(self) -> int | None:
        """Return who comes next if what came last goes on; None while nothing has come twice."""
        past = list(self._past)
        for length in range(1, len(past) // 2 + 1):
            if past[-length:] == past[-2 * length : -length] and len(set(past[-length:])) > 1:
                return past[-length]
        return None


def owned(run: Run) -> Run:
    """Take parameters that another optimizer moves as not trained in this step: a GAN's other half is no finding."""
    parameters = tuple(p if p.owned is not False else dataclasses.replace(p, trainable=False) for p in run.parameters)
    return dataclasses.replace(run, parameters=parameters, facts={**run.facts, "optimizers": "several"})


def joined(track: Track) -> Run | None:
    """Return the first and the last audit as one run; the last alone where they ran other operations."""
    first, last = track.first, track.last
    if first is None or last is None:
        return None
    if first is last or [s.name for s in first.sites] != [s.name for s in last.sites] or first.edges != last.edges:
        return dataclasses.replace(last, losses=tuple(track.losses))
    facts = {**first.facts, **schedule(first, last)}
    return dataclasses.replace(first, steps=(*first.steps, *last.steps), losses=tuple(track.losses), facts=facts)
