"""Tracks: what the watch has read of the steps of one optimizer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from photic.records.findings import Finding
from photic.records.runs import Run


@dataclass
class Track:
    """What is known of the steps of one optimizer."""

    steps: int = 0
    first: Run | None = None
    last: Run | None = None
    losses: list[float] = field(default_factory=list[float])
    audited: list[int] = field(default_factory=list[int])
    seen: dict[str, int] = field(default_factory=dict[str, int])  # problem -> audits in a row
    findings: tuple[Finding, ...] = ()


def owned(run: Run) -> Run:
    """Take parameters that another optimizer moves as not trained in this step: a GAN's other half is no finding."""
    parameters = tuple(p if p.owned is not False else dataclasses.replace(p, trainable=False) for p in run.parameters)
    return dataclasses.replace(run, parameters=parameters)


def joined(track: Track) -> Run | None:
    """Return the first and the last audit as one run; the last alone where they ran other operations."""
    first, last = track.first, track.last
    if first is None or last is None:
        return None
    if first is last or [s.name for s in first.sites] != [s.name for s in last.sites] or first.edges != last.edges:
        return dataclasses.replace(last, losses=tuple(track.losses))
    return dataclasses.replace(first, steps=(*first.steps, *last.steps), losses=tuple(track.losses))
