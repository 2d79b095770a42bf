"""Findings: a problem, where it is, why, how sure we are, what to do."""

from __future__ import annotations

from dataclasses import dataclass

from photic.records.pictures import Shown, picture
from photic.records.predictions import Prediction
from photic.records.profiles import Profile
from photic.records.runs import Run
from photic.records.vocabulary import Severity


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number behind a finding: `Evidence("transport to the first layer", 3.1e-9, "ratio")`."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem found in a network.

    Attributes:
        problem: hyphenated name of the rule.
        severity: `info` | `warning` | `critical`.
        sites: places of the cause, the first one first; empty when the cause is outside the layers.
        where: `file:line` of the first place, or ''.
        evidence: the numbers.
        reason: one sentence that a newcomer understands, with the numbers in it.
        advice: what to do.
        confidence: 0 to 1.
        sources: keys of references.bib.
        victims: sites that suffer and are not the cause.
    """

    problem: str
    severity: Severity
    sites: tuple[str, ...]
    where: str
    evidence: tuple[Evidence, ...]
    reason: str
    advice: str
    confidence: float
    sources: tuple[str, ...] = ()
    victims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAsked:
    """A rule that could not be asked, and what was missing."""

    problem: str
    missing: str


@dataclass(frozen=True, slots=True)
class Diagnosis(Shown):
    """What the rules say of a run: cause first, then severity.

    Attributes:
        findings: ordered, the cause first.
        not_asked: rules whose evidence was not measured.
        profile: the depth profile of the first step; None when nothing could be profiled.
        last_profile: the same for the last step, when there is more than one.
        silenced: what was found and was asked not to be reported; it does not count.
    """

    findings: tuple[Finding, ...]
    not_asked: tuple[NotAsked, ...] = ()
    profile: Profile | None = None
    last_profile: Profile | None = None
    silenced: tuple[Finding, ...] = ()

    @property
    def healthy(self) -> bool:
        """True when no finding is a warning or worse."""
        return all(finding.severity == "info" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Checkup(Shown):
    """Measured, predicted and diagnosed: all of one network.

    Attributes:
        notes: circumstances that the reader must know: where inputs were drawn at random, what was copied.
    """

    run: Run
    prediction: Prediction
    diagnosis: Diagnosis
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return picture(self)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, cause first."""
        return self.diagnosis.findings

    @property
    def healthy(self) -> bool:
        """True when no finding is a warning or worse."""
        return self.diagnosis.healthy

    @property
    def not_asked(self) -> tuple[NotAsked, ...]:
        """Rules whose evidence was not measured."""
        return self.diagnosis.not_asked
