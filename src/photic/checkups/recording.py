"""Recording: the course of a watched run, written to a store while it goes on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photic.probes.glances import Glance
from photic.records.findings import Finding
from photic.records.runs import Run
from photic.records.stores import StoreWriter


class Recording:
    """Writes what a watch reads; without a file it writes nothing.

    The first optimizer's series bear plain names; those of the others begin with `optimizer 2/`, `optimizer 3/` ...
    """

    def __init__(self, file: str | Path | None) -> None:
        self._store = StoreWriter(Path(file)) if file is not None else None
        self._told: dict[str, Any] = {}
        self._next_histogram = 0.0

    def describe(self, **facts: Any) -> None:
        """Write facts, those that changed."""
        if self._store is not None:
            for name, value in facts.items():
                self._fact(name, value)

    def _fact(self, name: str, value: Any) -> None:
        if self._store is not None and (name not in self._told or self._told[name] != value):
            self._told[name] = value
            self._store.fact(name, value)

    def audit(self, run: Run, number: int) -> None:
        """Write what an audit read of the steps of optimizer `number`, 0 for the first."""
        if self._store is None:
            return
        step = run.steps[0]
        own = f"optimizer {number + 1}/" if number else ""
        self._fact(f"{own}sites", [site.name for site in run.sites])
        self._fact(f"{own}parameters", [parameter.name for parameter in run.parameters])
        signals = [math.nan if r.signal is None else r.signal.rms for r in step.sites]
        gradients = [math.nan if r.gradient is None else r.gradient.norm for r in step.sites]
        updates = [math.nan if r.update_ratio is None else r.update_ratio for r in step.parameters]
        self._store.row(f"{own}audit/signal", step.step, signals)
        self._store.row(f"{own}audit/gradient", step.step, gradients)
        self._store.row(f"{own}audit/update", step.step, updates)
        if any(r.units is not None for r in step.sites):
            dead = [math.nan if r.units is None else _dead(r.units) for r in step.sites]
            self._store.row(f"{own}audit/dead", step.step, dead)
        self._store.row(f"{own}loss", step.step, [math.nan if step.loss is None else step.loss])
        if step.loss_scale is not None:
            self._store.row("scaler/scale", step.step, [step.loss_scale])

    def loss(self, step: int, value: float) -> None:
        """Write a loss that was told from outside; the watch itself learns it in audits alone."""
        if self._store is not None:
            self._store.row("loss", step, [value])

    def glance(self, glance: Glance, step: int) -> None:
        """Write what a glance read."""
        if self._store is None:
            return
        self._fact("modules", glance.names)
        for which, name in ((0, "signal"), (1, "gradient")):
            read = glance.moments(which)
            values = [math.nan if m is None else (m.rms, m.norm)[which] for m in read]
            self._store.row(f"glance/{name}", step, values)
            if step >= self._next_histogram:
                self._store.row(f"histogram/{name}", step, glance.histogram(which))
        if step >= self._next_histogram:  # in steps that grow by a fifth: 76 rows in a million steps
            self._next_histogram = 1.2 * step + 1.0

    def skipped(self, step: int, count: int) -> None:
        """Write that a gradient scaler has skipped the optimizer's step once more."""
        if self._store is not None:
            self._store.row("scaler/skipped", step, [float(count)])

    def close(self, findings: Sequence[Finding], **facts: Any) -> str:
        """Write the last facts, end the file, and return why it ended early, or ''."""
        if self._store is None:
            return ""
        self.describe(**facts, findings=[dataclasses.asdict(finding) for finding in findings])
        self._store.close()
        failure, self._store = self._store.failure, None
        return failure


def _dead(units: Any) -> float:
    return units.dead_fraction if units.dead_in_window is None else units.dead_in_window
