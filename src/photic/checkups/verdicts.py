"""Verdicts: which state of a watched run is judged."""

from __future__ import annotations

from collections.abc import Collection

from photic.diagnosis.diagnose import Diagnosis, diagnose
from photic.diagnosis.evidence import Case, training
from photic.diagnosis.learning import learns
from photic.records.runs import Run
from photic.theory.network import predict_run


def verdict(course: Run, latest: Run, ignore: Collection[str] = ()) -> Diagnosis:
    """Judge the last state; where that shows something or the loss stands still, the first one as well, with the course since.

    Some causes show at the start alone: BatchNorm's gradient, which exploded, has passed through the first large step and
    looks whole afterwards, and the network never learns.
    """
    prediction = predict_run(latest)
    last = len(course.steps) - 1
    now = diagnose(course, prediction, ignore=ignore, state=last)
    sick = any(finding.severity != "info" for finding in now.findings) or not learns(training(Case(course, prediction)))
    return diagnose(course, prediction, ignore=ignore, state=(last, 0)) if last > 0 and sick else now
