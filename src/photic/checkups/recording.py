"""Recording: the course of a watched run, written to a store while it goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photic.checkups.faults import words
from photic.probes.glances import Glance
from photic.probes.norms import ParameterNorms
from photic.records.moments import told_signal
from photic.records.runs import ParameterReading, Run
from photic.records.stores import StoreWriter


class Recording:
    """Writes what a watch reads; without a file it writes nothing.

    In the rows nan means that nothing was read, and inf that an element is not finite.

    The first optimizer's series bear plain names; those of the others begin with `optimizer 2/`, `optimizer 3/` ...
    It begins with step `started`: what an earlier run wrote of that step and later ones is no part of this one.
    An error ends the record and neither the watch nor the training: `warn` is told of it.

    Attributes:
        notes: what the reader of the record must know, in words.
    """

    def __init__(self, file: str | Path | None, warn: Callable[[str, Exception], None], *, started: int = 0) -> None:
        self.notes: list[str] = []
        self._file, self._warn, self._started = file, warn, started
        self._store: StoreWriter | None = None
        self._failed = False
        self._told: dict[str, Any] = {}
        self._next_histogram = 0.0

    def open(self) -> None:
        """Begin the record; where that is not possible there is none."""
        try:
            self._store = None if self._file is None else StoreWriter(Path(self._file), start=self._started)
        except Exception as error:
            self.notes.append(f"there is no record: {words(error)}")
            self._warn(f"photic keeps no record of this run: {words(error)}", error)

    @contextmanager
    def _guarded(self) -> Iterator[StoreWriter | None]:
        try:
            yield None if self._failed else self._store
        except Exception as error:
            self._failed = True
            self.notes.append(f"the record ended early: {words(error)}")
            self._warn(f"photic ended the record of this run: {words(error)}", error)

    def describe(self, **facts: Any) -> None:
        """Write facts, those that changed."""
        with self._guarded() as store:
            if store is not None:
                for name, value in facts.items():
                    self._fact(store, name, value)

    def _fact(self, store: StoreWriter, name: str, value: Any) -> None:
        if name not in self._told or self._told[name] != value:
            self._told[name] = value
            store.fact(name, value)

    def audit(self, run: Run, number: int, at: int) -> None:
        """Write what an audit read of a step of optimizer `number`, 0 for the first; `at` counts the steps of all."""
        with self._guarded() as store:
            if store is not None:
                self._audit(store, run, number, at)

    def _audit(self, store: StoreWriter, run: Run, number: int, at: int) -> None:
        step = run.steps[0]
        own = f"optimizer {number + 1}/" if number else ""
        self._fact(store, f"{own}sites", [site.name for site in run.sites])
        self._fact(store, f"{own}parameters", [parameter.name for parameter in run.parameters])
        signals = [told_signal(site.operation, r.signal) for site, r in zip(run.sites, step.sites, strict=True)]
        gradients = [math.nan if r.gradient is None else r.gradient.told_norm for r in step.sites]
        updates = [_update(r) for r in step.parameters]
        store.row(f"{own}audit/signal", at, signals)
        store.row(f"{own}audit/gradient", at, gradients)
        store.row(f"{own}audit/update", at, updates)
        if any(r.units is not None for r in step.sites):
            dead = [math.nan if r.units is None else _dead(r.units) for r in step.sites]
            store.row(f"{own}audit/dead", at, dead)
        store.row(f"{own}loss", at, [math.nan if step.loss is None else step.loss])
        if step.loss_scale is not None:
            store.row("scaler/scale", at, [step.loss_scale])

    def loss(self, step: int, value: float) -> None:
        """Write a loss that was told from outside; the watch itself learns it in audits alone."""
        with self._guarded() as store:
            if store is not None:
                store.row("loss", step, [value])

    def wants_magnitudes(self, step: int) -> bool:
        """Whether the histograms of a glance at this step would be kept: in steps that grow by a fifth."""
        return self._store is not None and step >= self._next_histogram

    def glance(self, glance: Glance, step: int, norms: ParameterNorms | None = None) -> None:
        """Write what a glance read, and the norms of the parameters' gradients."""
        with self._guarded() as store:
            if store is not None:
                self._glance(store, glance, step)
                if norms is not None and norms.row:
                    self._fact(store, "weights", norms.names)
                    store.row("glance/weights", step, norms.row)
                    norms.row = []

    def _glance(self, store: StoreWriter, glance: Glance, step: int) -> None:
        self._fact(store, "modules", glance.names)
        counted = glance.counting and step >= self._next_histogram
        for which, name in ((0, "signal"), (1, "gradient")):
            store.row(f"glance/{name}", step, glance.sizes(which).tolist())
            if counted:
                store.row(f"histogram/{name}", step, glance.histogram(which))
        if counted:  # in steps that grow by a fifth: 76 rows in a million steps
            self._next_histogram = 1.2 * step + 1.0

    def skipped(self, step: int, count: int) -> None:
        """Write that a gradient scaler has skipped the optimizer's step once more."""
        with self._guarded() as store:
            if store is not None:
                store.row("scaler/skipped", step, [float(count)])

    def close(self) -> None:
        """End the file; what follows is written nowhere."""
        store, self._store = self._store, None
        if store is None:
            return
        store.close()
        self._ended(store)

    def _ended(self, store: StoreWriter) -> None:
        """Note what the reader of a closed store should know."""
        if store.failure:
            self.notes.append(f"the record ended early: {store.failure}")
        if store.dropped:
            self.notes.append(
                f"{store.dropped} of {store.offered} rows of the record were left out: the disk was too slow or full"
            )


def _update(reading: ParameterReading) -> float:
    """Return the relative update of a parameter: nan of none, inf where weight or gradient is not finite."""
    if reading.update_ratio is None:
        return math.nan
    broken = reading.weight.nonfinite or (reading.gradient is not None and reading.gradient.nonfinite)
    return math.inf if broken or math.isnan(reading.update_ratio) else reading.update_ratio


def _dead(units: Any) -> float:
    return units.dead_fraction if units.dead_in_window is None else units.dead_in_window
