"""Recording: what of a watched run goes into its store."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from photic.probes.glances import Glance
from photic.records.findings import Finding
from photic.records.runs import Run
from photic.records.stores import StoreWriter


def describe(
    store: StoreWriter, *, model: str, modules: Sequence[str], steps: int, cost: str, findings: Sequence[Finding]
) -> None:
    """Write what is known of the run so far."""
    store.fact("model", model)
    store.fact("modules", list(modules))
    store.fact("steps", steps)
    store.fact("cost", cost)
    store.fact("findings", [dataclasses.asdict(finding) for finding in findings])


def name_sites(store: StoreWriter, run: Run) -> None:
    """Write the names that the rows of audits belong to."""
    store.fact("sites", [site.name for site in run.sites])
    store.fact("parameters", [parameter.name for parameter in run.parameters])


def write_audit(store: StoreWriter, run: Run) -> None:
    """Write a row for each statistic of an audit."""
    step = run.steps[0]
    store.row("audit/signal", step.step, [math.nan if r.signal is None else r.signal.rms for r in step.sites])
    store.row("audit/gradient", step.step, [math.nan if r.gradient is None else r.gradient.norm for r in step.sites])
    updates = [math.nan if r.update_ratio is None else r.update_ratio for r in step.parameters]
    store.row("audit/update", step.step, updates)
    store.row("loss", step.step, [math.nan if step.loss is None else step.loss])


def write_glance(store: StoreWriter, glance: Glance, step: int) -> None:
    """Write a row of signals and one of gradients."""
    for which, name in ((0, "signal"), (1, "gradient")):
        read = glance.moments(which)
        store.row(f"glance/{name}", step, [math.nan if m is None else (m.rms, m.norm)[which] for m in read])


def ending(store: StoreWriter) -> list[str]:
    """Return what the reader of a closed store should know, in words."""
    said: list[str] = []
    if store.failure:
        said.append(f"the record ended early: {store.failure}")
    if store.dropped:
        said.append(
            f"{store.dropped} of {store.offered} rows of the record were left out: the disk was too slow or full"
        )
    return said
