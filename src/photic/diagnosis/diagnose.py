"""Diagnose: ask all rules, put the cause before its victims, and say what could not be asked."""

from __future__ import annotations

from collections.abc import Collection

from photic.diagnosis.evidence import Case, Missing, provide
from photic.diagnosis.profile import depth_profile
from photic.diagnosis.registry import rules
from photic.records.findings import Diagnosis, Finding, NotAsked
from photic.records.predictions import Prediction
from photic.records.runs import Run
from photic.records.vocabulary import SEVERITIES

# What explains what: where the key was found on the way of the value, the value is its effect and no finding.
_EXPLAINS: dict[str, tuple[str, ...]] = {
    "non-finite": (
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-activation",
        "dead-units",
        "stalled-training",
    ),
    "severed-gradient": ("vanishing-gradient", "stalled-training"),
    "severed-unregistered-module": ("stalled-training",),
    "unowned-parameters": ("stalled-training",),
    "severed-nondifferentiable": ("vanishing-gradient", "stalled-training"),
    "dead-units": ("vanishing-gradient", "stalled-training"),
    "dying-output": ("dead-units", "vanishing-gradient", "stalled-training"),
    "saturated-activation": ("vanishing-gradient", "stalled-training"),
    "vanishing-gradient": ("stalled-training",),
    "exploding-gradient": ("stalled-training", "learning-rate-too-large"),
    "never-zeroed-gradients": ("learning-rate-too-large", "stalled-training"),
    "learning-rate-too-large": ("stalled-training",),
}
_CAUSES_FIRST = (
    "non-finite",
    "never-zeroed-gradients",
    "severed-gradient",
    "severed-nondifferentiable",
    "severed-unregistered-module",
    "unowned-parameters",
    "dying-output",
    "dead-units",
    "saturated-activation",
    "vanishing-gradient",
    "exploding-gradient",
    "frozen-by-epsilon",
)


def diagnose(run: Run, prediction: Prediction | None = None, *, ignore: Collection[str] = ()) -> Diagnosis:
    """Return what the rules say of a run.

    Args:
        run: an audit, or an audit with training steps; a partial run is judged as far as it goes.
        prediction: what theory expects of it; makes the verdict surer, none depends on it.
        ignore: problems not to be reported.
    """
    case = Case(run, prediction)
    findings: list[Finding] = []
    not_asked: list[NotAsked] = []
    for rule in rules():
        given = {name: provide(name, case) for name in rule.evidence}
        missing = [value.why for value in given.values() if isinstance(value, Missing)]
        if missing:
            not_asked.append(NotAsked(rule.problem, "; ".join(sorted(set(missing)))))
            continue
        try:
            finding = rule.judge(**given)
        except Exception as error:  # one rule's fault must not cost the others' answers
            not_asked.append(NotAsked(rule.problem, f"the rule failed: {type(error).__name__}: {error}"))
            continue
        if finding is not None and finding.problem not in ignore:
            findings.append(finding)
    return Diagnosis(
        findings=tuple(sorted(_roots(findings), key=_rank)),
        not_asked=tuple(not_asked),
        profile=depth_profile(run, prediction) if run.steps else None,
        last_profile=depth_profile(run, step=len(run.steps) - 1) if len(run.steps) > 1 else None,
    )


def _roots(findings: list[Finding]) -> list[Finding]:
    """Leave out what a finding that is at least a warning explains."""
    explained: set[str] = set()
    later = {f.problem for f in findings if f.problem == "non-finite" and not f.sites}  # only after some steps
    for finding in findings:
        if finding.severity != "info" and finding.problem not in later:
            explained.update(_EXPLAINS.get(finding.problem, ()))
            if finding.problem in ("exploding-gradient", "learning-rate-too-large"):
                explained.update(later)
    return [finding for finding in findings if finding.problem not in explained]


def _rank(finding: Finding) -> tuple[int, int, int]:
    cause = _CAUSES_FIRST.index(finding.problem) if finding.problem in _CAUSES_FIRST else len(_CAUSES_FIRST)
    informs = int(finding.severity == "info")
    return informs, cause, -SEVERITIES.index(finding.severity)
