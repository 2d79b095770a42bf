"""Comparison: all tools on the same cases, each allowed to see the whole training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch

from photic.lab.clinic.case import Case
from photic.lab.clinic.scoreboard import examine
from photic.lab.rivals import autotrainer, deepchecker, deepdiagnosis, sagemaker
from photic.lab.rivals.course import Course, course

Judge = Callable[[Course], set[str] | None]
TOOLS: dict[str, tuple[Judge, Mapping[str, tuple[str, ...]]]] = {
    "SageMaker Debugger": (sagemaker.judge, sagemaker.NAMES),
    "SageMaker Debugger, without LossNotDecreasing": (
        lambda c: sagemaker.judge(c) - {"LossNotDecreasing"},
        sagemaker.NAMES,
    ),
    "AUTOTRAINER": (autotrainer.judge, autotrainer.NAMES),
    "DeepDiagnosis": (deepdiagnosis.judge, deepdiagnosis.NAMES),
    "TheDeepChecker": (deepchecker.judge, deepchecker.NAMES),
}


@dataclass(frozen=True)
class Verdict:
    """What one tool says of one case.

    Attributes:
        tool, case, label, part: of whom, of what; the label is '' for a healthy one.
        found: rules that fired, in the tool's own words; None where it does not apply.
        named: whether one of them speaks of the label.
    """

    tool: str
    case: str
    label: str
    part: str
    found: tuple[str, ...] | None
    named: bool


@dataclass(frozen=True)
class Tally:
    """A tool over one part: of the sick cases that it applies to those detected and named, of the healthy ones those flagged."""

    tool: str
    part: str
    sick: int
    detected: int
    named: int
    healthy: int
    false_alarms: int


def ours(case: Case, *, steps: int | None = None, seed: int = 0) -> Verdict:
    """Ask `photic.check`, which sees `steps` steps; None leaves it to it."""
    row = examine(case, steps=steps, seed=seed)
    return Verdict("photic", case.name, case.label, case.part, row.problems, case.label in row.problems)


def compare(case: Case, *, seed: int = 0) -> list[Verdict]:
    """Train a case for all its steps and ask every other tool."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    setup = case.build(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        seen = course(setup, case.steps)
    verdicts: list[Verdict] = []
    for tool, (judge, names) in TOOLS.items():
        found = judge(seen)
        named = any(case.label in names[rule] for rule in found or ())
        verdicts.append(
            Verdict(tool, case.name, case.label, case.part, None if found is None else tuple(sorted(found)), named)
        )
    return verdicts


def tally(verdicts: Iterable[Verdict], tool: str, part: str) -> Tally:
    """Count one tool's verdicts over one part; '' for all."""
    here = [v for v in verdicts if v.tool == tool and part in ("", v.part) and v.found is not None]
    sick, healthy = [v for v in here if v.label], [v for v in here if not v.label]
    return Tally(
        tool, part or "all", len(sick), sum(bool(v.found) for v in sick), sum(v.named for v in sick),
        len(healthy), sum(bool(v.found) for v in healthy),
    )  # fmt: skip
