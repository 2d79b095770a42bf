"""Diagnose: ask all rules, put the cause before its victims, and say what could not be asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from photic.diagnosis.evidence import Case, Missing, provide
from photic.diagnosis.profile import depth_profile
from photic.diagnosis.registry import rules
from photic.records.findings import Diagnosis, Finding, NotAsked
from photic.records.predictions import Prediction
from photic.records.runs import Run
from photic.records.vocabulary import SEVERITIES

# What explains what: where the key was found as a warning, the values are its effects and no findings of their own.
_FADES = ("vanishing-gradient", "stalled-training")
_BLOWS_UP = ("exploding-gradient", "shattered-gradient", "learning-rate-too-large", "diverging", "stalled-training")
_EXPLAINS: dict[str, tuple[str, ...]] = {
    "non-finite": (
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-activation",
        "dead-units",
        "rank-collapse",
        "idle-layer",
        "stalled-training",
    ),
    "zero-epsilon": ("non-finite", "stalled-training"),
    "mixed-examples": ("class-prior-only", "stalled-training", "learning-rate-too-small", "rank-collapse"),
    "sorted-batches": (
        "class-prior-only",
        "stalled-training",
        "learning-rate-too-small",
        "learning-rate-too-large",
        "diverging",
        "dead-units",
        "rank-collapse",
    ),
    "cleared-gradients": ("class-prior-only", "learning-rate-too-small", *_FADES),
    "broadcast-target": ("class-prior-only", "learning-rate-too-small", "idle-layer", "rank-collapse", *_FADES),
    "severed-gradient": ("idle-layer", *_FADES),
    "severed-nondifferentiable": ("severed-gradient", "loss-saturation", "rank-collapse", *_FADES),
    "severed-unregistered-module": ("stalled-training",),
    "unowned-parameters": ("stalled-training", "foreign-parameters", "frozen-layers"),
    "loss-saturation": (
        "stalled-training",
        "unscaled-target",
        "frozen-by-epsilon",
        "weights-too-large",
        "unscaled-input",
    ),
    "dying-output": ("dead-units", "unscaled-target", "loss-saturation", "frozen-by-epsilon", *_FADES),
    "zero-times-zero": ("dead-units", "rank-collapse", "idle-layer", "severed-gradient", *_FADES),
    "gradient-underflow": ("frozen-by-epsilon", "rank-collapse", "weights-too-small", *_FADES),
    "rounding-frozen": ("stalled-training",),
    "unscaled-input": ("weights-too-large", "rank-collapse", "dead-units", *_BLOWS_UP),
    "unscaled-target": ("dead-units", "rank-collapse", *_BLOWS_UP),
    "dead-units": ("rank-collapse", "frozen-by-epsilon", *_FADES),
    "saturated-gates": ("vanishing-in-time", "exploding-in-time", *_FADES),
    "saturated-attention": ("idle-layer", *_FADES),
    "saturated-activation": ("weights-too-large", "idle-layer", *_FADES),
    "rank-collapse": ("frozen-by-epsilon", "shattered-gradient", "vanishing-in-time", *_FADES),
    "idle-layer": ("frozen-by-epsilon", *_FADES),
    "weights-too-small": ("dead-units", "rank-collapse", "frozen-by-epsilon", "stalled-training"),
    "weights-too-large": (
        "learning-rate-too-large",
        "shattered-gradient",
        "diverging",
        "dead-units",
        "stalled-training",
    ),
    "missing-normalisation": _BLOWS_UP,
    "post-norm-without-warmup": ("rank-collapse", "learning-rate-too-large", "diverging", *_FADES),
    "vanishing-gradient": ("rank-collapse", "shattered-gradient", "stalled-training"),
    "exploding-gradient": (
        "learning-rate-too-large",
        "diverging",
        "shattered-gradient",
        "dead-units",
        "stalled-training",
    ),
    "shattered-gradient": ("learning-rate-too-large", "stalled-training"),
    "vanishing-in-time": ("stalled-training",),
    "exploding-in-time": (
        "missing-normalisation",
        "saturated-activation",
        "exploding-gradient",
        "unscaled-input",
        "learning-rate-too-large",
        "diverging",
        "stalled-training",
    ),
    "never-zeroed-gradients": ("learning-rate-too-large", "diverging", "stalled-training"),
    "useless-clipping": ("stalled-training",),
    "frozen-by-epsilon": ("stalled-training",),
    "learning-rate-too-large": ("diverging", "dead-units", "stalled-training"),
    "learning-rate-too-small": ("class-prior-only",),
    # where it is critical: all examples are made one
    "class-prior-only": (
        "dead-units",
        "rank-collapse",
        "idle-layer",
        "unscaled-input",
        "loss-saturation",
        "weights-too-small",
        "frozen-by-epsilon",
        *_FADES,
    ),
    "diverging": ("stalled-training",),
}
# A finding of a later line is named after one of an earlier line.
_CAUSES_FIRST = (
    "zero-epsilon", "non-finite", "cleared-gradients", "broadcast-target", "mixed-examples",
    "sorted-batches",
    "never-zeroed-gradients", "severed-gradient", "severed-nondifferentiable",
    "severed-unregistered-module", "unowned-parameters", "class-prior-only", "zero-times-zero", "gradient-underflow", "dying-output",
    "loss-saturation", "unscaled-input", "unscaled-target", "saturated-attention", "saturated-gates",
    "post-norm-without-warmup", "rank-collapse", "weights-too-small", "dead-units", "exploding-in-time", "saturated-activation",
    "missing-normalisation", "weights-too-large", "vanishing-in-time", "vanishing-gradient",
    "exploding-gradient", "shattered-gradient", "rounding-frozen", "frozen-by-epsilon", "useless-clipping", "learning-rate-too-large",
    "diverging", "idle-layer",
)  # fmt: skip


# What says only that little is learned; any other warning says why.
_SYMPTOMS = ("class-prior-only", "learning-rate-too-small")

# What steps that are too long leave behind.
_WRECKS = (
    "exploding-gradient", "vanishing-gradient", "dead-units", "rank-collapse", "saturated-activation", "saturated-attention",
    "saturated-gates", "weights-too-large", "missing-normalisation",
)  # fmt: skip

# What ends in nan after some steps.
_BREAKS = (
    "exploding-gradient", "learning-rate-too-large", "unscaled-input", "unscaled-target", "weights-too-large",
    "missing-normalisation", "exploding-in-time", "diverging", "rounding-frozen",
)  # fmt: skip


def diagnose(
    run: Run, prediction: Prediction | None = None, *, ignore: Collection[str] = (), state: int | Sequence[int] = 0
) -> Diagnosis:
    """Return what the rules say of a run.

    Args:
        run: an audit, or an audit with training steps; a partial run is judged as far as it goes.
        prediction: what theory expects of it; makes the verdict surer, none depends on it.
        ignore: problems to be silenced, `dead-units`, or one at places that match a pattern, `dead-units@encoder.*`.
        state: index of the step whose state is judged, or of several: what one of them shows counts, as the first shows
            it; what needs a course looks at all steps.
    """
    states = [state] if isinstance(state, int) else list(state)
    asked = [_asked(Case(run, prediction, each)) for each in states]
    findings = list({finding.problem: finding for found, _ in reversed(asked) for finding in found}.values())
    if len(asked) > 1:
        findings = _unwrecked(findings, {finding.problem for finding in asked[-1][0]})
    not_asked = asked[0][1]
    broke = not run.broke_trained and any(f.problem == "non-finite" and f.sites for f in asked[-1][0])
    named = sorted(_roots(findings, later=not broke), key=_rank)
    return Diagnosis(
        findings=tuple(finding for finding in named if not _silenced(finding, ignore)),
        not_asked=tuple(not_asked),
        profile=depth_profile(run, prediction) if run.steps else None,
        last_profile=depth_profile(run, step=len(run.steps) - 1) if len(run.steps) > 1 else None,
        silenced=tuple(finding for finding in named if _silenced(finding, ignore)),
    )


def _asked(case: Case) -> tuple[list[Finding], list[NotAsked]]:
    """Ask every rule of one state."""
    findings: list[Finding] = []
    not_asked: list[NotAsked] = []
    names = {name for rule in rules() for name in rule.evidence}
    known = {name: provide(name, case) for name in sorted(names)}
    for rule in rules():
        given = {name: known[name] for name in rule.evidence}
        missing = [value.why for value in given.values() if isinstance(value, Missing)]
        if missing:
            not_asked.append(NotAsked(rule.problem, "; ".join(sorted(set(missing)))))
            continue
        try:
            finding = rule.judge(**given)
        except Exception as error:  # one rule's fault must not cost the others' answers
            not_asked.append(NotAsked(rule.problem, f"the rule failed: {type(error).__name__}: {error}"))
            continue
        if finding is not None:
            findings.append(finding)
    return findings, not_asked


def _silenced(finding: Finding, ignore: Collection[str]) -> bool:
    """Whether the finding is silenced: its problem, or its problem at places all of which match."""
    for entry in ignore:
        problem, _, pattern = entry.partition("@")
        if problem != finding.problem:
            continue
        if not pattern or (finding.sites and all(fnmatchcase(site, pattern) for site in finding.sites)):
            return True
    return False


def _unwrecked(findings: list[Finding], began: Collection[str]) -> list[Finding]:
    """Leave out states that were not there when training began, where steps that are too long explain them."""
    if not any(f.problem == "learning-rate-too-large" and f.severity != "info" for f in findings):
        return findings
    return [finding for finding in findings if finding.problem in began or finding.problem not in _WRECKS]


def _roots(findings: list[Finding], *, later: bool) -> list[Finding]:
    """Leave out what a finding that is at least a warning explains; what is explained explains nothing itself.

    Args:
        later: what is not finite became so in the training: the first state that was judged was whole.
    """
    explained: set[str] = set()
    ends = {"non-finite"} if later else set[str]()
    for finding in sorted(findings, key=_rank):
        whole = finding.problem not in _SYMPTOMS or _one_for_all(finding)
        if finding.severity != "info" and whole and finding.problem not in ends | explained:
            explained.update(_EXPLAINS.get(finding.problem, ()))
            if finding.problem in _BREAKS:
                explained.update(ends)
    told = sorted((f for f in findings if f.severity != "info" and f.problem not in explained), key=_rank)
    if any(f.problem not in _SYMPTOMS for f in told) and not _one_for_all(told[0]):
        explained.update(_SYMPTOMS)
    return [finding for finding in findings if finding.problem not in explained]


def _one_for_all(finding: Finding) -> bool:
    """Whether it says that all examples are one: a cause, not a symptom."""
    return finding.problem == "class-prior-only" and finding.severity == "critical"


def _rank(finding: Finding) -> tuple[int, int, int]:
    cause = _CAUSES_FIRST.index(finding.problem) if finding.problem in _CAUSES_FIRST else len(_CAUSES_FIRST)
    informs = int(finding.severity == "info")
    cause = 1000 if finding.problem == "stalled-training" else cause
    return informs, cause, -SEVERITIES.index(finding.severity)
