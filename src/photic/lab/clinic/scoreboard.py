"""The scoreboard: what photic says of every case, and how often it is right."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch

from photic.checkups.check import check
from photic.checkups.setup import endless
from photic.checkups.training import train
from photic.checkups.watch import watch
from photic.lab.clinic.case import Case
from photic.records.findings import Finding

Way = Literal["check", "watch"]
WATCHED = 75  # steps: a quarter of 300


@dataclass(frozen=True)
class Row:
    """What was said of one case.

    Attributes:
        name, label, root, part: of the case; the label is '' for a healthy one.
        problems: what was found, the first first; information left out.
        first_site: first place of the first finding; '' for none.
        steps: training steps until the verdict, of `of` in the whole run.
        seconds: what the verdict cost.
        failed: the error, where the case could not be examined.
    """

    name: str
    label: str
    root: str
    part: str
    problems: tuple[str, ...]
    first_site: str
    steps: int
    of: int
    seconds: float
    failed: str = ""


@dataclass(frozen=True)
class Score:
    """Shares over one part of the clinic."""

    part: str
    sick: int
    detected: int
    named_first: int
    named: int
    rooted: int
    with_root: int
    healthy: int
    false_alarms: int
    failed: int


def examine(case: Case, *, steps: int | None = None, way: Way = "check", seed: int = 0) -> Row:
    """Return what photic says of a case, by `photic.check` or under `photic.watch`.

    Args:
        steps: training steps after which it is asked; None leaves it to `photic.check`, and is 75 under the watch.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    try:
        found, made = _checked(case, steps, seed) if way == "check" else _watched(case, steps or WATCHED, seed)
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        return Row(case.name, case.label, case.root, case.part, (), "", 0, case.steps, 0.0, words)
    alarms = [finding for finding in found if finding.severity != "info"]
    return Row(
        name=case.name,
        label=case.label,
        root=case.root,
        part=case.part,
        problems=tuple(finding.problem for finding in alarms),
        first_site=alarms[0].sites[0] if alarms and alarms[0].sites else "",
        steps=made,
        of=case.steps,
        seconds=time.perf_counter() - start,
    )


def _checked(case: Case, steps: int | None, seed: int) -> tuple[tuple[Finding, ...], int]:
    setup = case.build(seed)
    most = None if steps is None else min(steps, case.steps)
    checkup = check(setup.model, setup.batches, setup.loss, setup.optimizer, steps=most)
    return checkup.findings, len(checkup.run.losses)


def _watched(case: Case, steps: int, seed: int) -> tuple[tuple[Finding, ...], int]:
    setup = case.build(seed)
    made = min(steps, case.steps)
    with watch(setup.model, setup.optimizer) as handle:
        train(setup, endless(setup.batches), made)
        return tuple(handle.findings), made


def score(rows: Iterable[Row], part: str) -> Score:
    """Return the shares of one part; '' for all."""
    here = [row for row in rows if part in ("", row.part)]
    seen = [row for row in here if not row.failed]
    sick, healthy = [row for row in seen if row.label], [row for row in seen if not row.label]
    placed = [row for row in sick if row.root and row.problems]
    return Score(
        part=part or "all",
        sick=len(sick),
        detected=sum(bool(row.problems) for row in sick),
        named_first=sum(row.problems[:1] == (row.label,) for row in sick),
        named=sum(row.label in row.problems for row in sick),
        rooted=sum(_at_root(row) for row in placed),
        with_root=len(placed),
        healthy=len(healthy),
        false_alarms=sum(bool(row.problems) for row in healthy),
        failed=len(here) - len(seen),
    )


def _at_root(row: Row) -> bool:
    """Whether the first place is the root, or lies in it."""
    return row.first_site == row.root or row.first_site.startswith((f"{row.root}.", f"{row.root}/"))
