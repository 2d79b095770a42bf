"""Tracks: what the watch has read of the steps of one optimizer."""

from __future__ import annotations

import dataclasses
import weakref
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from photic.checkups.schedules import schedule
from photic.checkups.verdicts import verdict
from photic.records.findings import Finding
from photic.records.runs import Run, SiteReading

WINDOW = 4  # audits in a row in which a unit must be dead to count as dead over a window
MOST = 16  # optimizers of which is told
_TRIES = 3  # audits that waited for an optimizer in vain, until nobody waits for it any more


@dataclass
class Track:
    """What is known of the steps of one optimizer.

    Attributes:
        dead: for each of the last audits, by site, which units were 0 on every example.
        optimizer: whose; gone when nobody else holds it.
        used: the larger, the later it was asked for.
        unsure: the last audit showed a warning that is no finding yet.
    """

    number: int = 0
    optimizer: Callable[[], Any] = lambda: None
    used: int = 0
    steps: int = 0
    first: Run | None = None
    last: Run | None = None
    losses: list[float] = field(default_factory=list[float])
    audited: list[int] = field(default_factory=list[int])
    seen: dict[str, int] = field(default_factory=dict[str, int])  # problem -> audits in a row
    findings: tuple[Finding, ...] = ()
    unsure: bool = False
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
        self.unsure = any(f.severity != "info" and f not in self.findings for f in found)
        return gone

    def share(self, ignore: Collection[str]) -> None:
        """Others own parameters too: what this optimizer does not own is not without an owner."""
        if self.first is None or self.last is None:
            return
        self.first, self.last = owned(self.first), owned(self.last)
        still = {finding.problem for finding in verdict(joined(self) or self.last, self.last, ignore).findings}
        self.findings = tuple(finding for finding in self.findings if finding.problem in still)

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


class Tracks(dict[int, Track]):
    """The tracks of the optimizers that are watched, by the optimizer's id.

    At most `MOST` are kept. Those of optimizers that are gone leave first, then those that were never audited, then those
    that have not stepped for longest.

    Attributes:
        chosen: the optimizers that the user named, by id; empty for all that own parameters of the models.
        audits: how many there were in all, also of tracks that left.
    """

    def __init__(self, chosen: Collection[torch.optim.Optimizer], started: int) -> None:
        super().__init__()
        self.chosen = {id(optimizer) for optimizer in chosen}
        self.audits = 0
        self._started = started
        self._asked = self._made = 0
        self._left: Track | None = None  # the longest of those that left
        self._whose: weakref.WeakKeyDictionary[torch.optim.Optimizer, bool] = weakref.WeakKeyDictionary()

    def ours(self, optimizer: torch.optim.Optimizer, roots: Sequence[nn.Module]) -> bool:
        """Whether an optimizer is one of those that are watched."""
        if self.chosen:
            return id(optimizer) in self.chosen
        known = self._whose.get(optimizer)
        if known is None:
            held = {id(parameter) for root in roots for parameter in root.parameters()}
            known = any(id(p) in held for group in optimizer.param_groups for p in group["params"])
            self._whose[optimizer] = known
        return known

    def look_again(self) -> None:
        """Other models are watched now."""
        self._whose.clear()

    def of(self, optimizer: torch.optim.Optimizer) -> Track:
        """Return the track of an optimizer; a new one for an optimizer that was not seen before."""
        track = self.get(id(optimizer))
        if track is None or track.optimizer() is not optimizer:
            if track is not None:  # of one that is gone, whose id is used again
                self._leave(id(optimizer))
            elif len(self) >= MOST:
                self._leave(min(self, key=self._worth))
            track = self[id(optimizer)] = Track(self._made, weakref.ref(optimizer), steps=self._started)
            self._made += 1
        self._asked += 1
        track.used = self._asked
        return track

    def _worth(self, key: int) -> tuple[bool, bool, int]:
        track = self[key]
        return track.optimizer() is not None, bool(track.audited), track.used

    def _leave(self, key: int) -> None:
        track = self.pop(key)
        if track.audited and (self._left is None or self._left.steps <= track.steps):
            self._left = track

    @property
    def longest(self) -> Track | None:
        """The track with most steps, of those that were audited."""
        tracks = [*([] if self._left is None else [self._left]), *self.values()]
        return max((track for track in tracks if track.audited), key=lambda track: track.steps, default=None)

    @property
    def may_be_several(self) -> bool:
        """Whether another optimizer may step after the same backward: one is known, or nobody said which there are."""
        return self.several or (not self.chosen and not self.audits)

    @property
    def several(self) -> bool:
        """Whether more than one optimizer is known."""
        return max(len(self), len(self.chosen)) > 1


class Turns:
    """In which order several optimizers step: two of the critic, one of the generator, and so on."""

    def __init__(self) -> None:
        self._past: deque[int] = deque(maxlen=48)
        self._awaited: int | None = None  # for whom the next audit is meant
        self._missed: Counter[int] = Counter()

    def stepped(self, number: int, *, read: bool) -> None:
        """Optimizer `number` has stepped, and an audit has read its step, or not."""
        self._past.append(number)
        if read:
            self._missed.pop(number, None)
        if self._awaited is not None and not (read and number == self._awaited):
            self._missed[self._awaited] += 1
        self._awaited = None

    def due(self, tracks: Collection[Track]) -> bool:
        """Whether the next step is that of an optimizer which was audited less often than another.

        A generator that steps after its critic would never be audited at steps of even numbers. Of some optimizers no step
        can be read, and some step where nobody expects it: after a few tries in vain nobody waits for them.
        """
        most = max((len(track.audited) for track in tracks), default=0)
        behind = {t.number for t in tracks if len(t.audited) < most and self._missed[t.number] < _TRIES}
        expected = self._expected() if behind else None
        if expected not in behind:
            return False
        self._awaited = expected
        return True

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
