"""Pairing: two remedies at once, where no single one cures or where one brought another fault to light."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from photic.records.treatments import Trial
from photic.remedies.candidate import Candidate
from photic.remedies.combine import combine, together
from photic.remedies.course import Course, alarms
from photic.remedies.prescription import Prescription
from photic.remedies.ranking import Ranking
from photic.remedies.registry import Remedy
from photic.remedies.steadiness import UNSTEADY, falls_back, wild
from photic.remedies.trials import CLEARLY, trains

LAYERED = 4  # remedies of what came to light that are tried together with what brought it there
PAIRS = 3  # combinations that are tried when no single remedy cures
CALMED = 3  # of what took the findings away and does not train for all that, so many are tried with another rate
_SHAKY = (UNSTEADY, "with seed", "training broke off")
Hidden = Callable[[Prescription, Sequence[str]], Sequence[tuple[Remedy, Prescription]]]


def layered(
    ranking: Ranking,
    candidates: Sequence[Candidate],
    begun: Sequence[Candidate],
    trials: Sequence[Trial],
    hidden: Hidden,
) -> list[tuple[Remedy, Prescription]]:
    """Return what took the findings away and was refused for another that lay behind them, together with what treats that.

    What only the training brings, as steps that are too long, lay not behind. What puts right a fault that is `certain` goes together with
    whatever treats the network that is left.
    """
    brought = {trial.remedy: set(trial.brought) for trial in trials if trial.brought and not trial.remaining}
    certain = [c for c in begun if c.prescription.certain and c.arm.course is not None]  # those dropped at once, too
    for one in certain + ranking.ranked([c for c in candidates if c.remedy.name in brought], ranking.rungs[-1]):
        start = alarms(one.arm.seen.start)
        behind = sorted(start if one.prescription.certain else start & brought[one.remedy.name])
        if not behind:
            continue
        tried = {trial.remedy for trial in trials}
        found = [
            (other, combine(one.prescription, also))
            for other, also in hidden(one.prescription, behind)
            if not also.mends and together(one.remedy, other).name not in tried  # by another loss it would be judged
        ]
        both = [(together(one.remedy, other), combined) for other, combined in found if combined is not None]
        if both:
            return both[:LAYERED]
    return []


def calmed(
    candidates: Sequence[Candidate],
    problems: set[str],
    rate: tuple[Remedy, Prescription],
    trials: Sequence[Trial] = (),
) -> list[tuple[Remedy, Prescription]]:
    """Return what took the findings away and broke off, did not come down, or did not stay down, together with another learning rate.

    The rate may have been too large for the network as it was, and for the cured one all the more: only the first was found. What brought
    another finding comes last, and what came further down before what broke off.
    """
    able = [c for c in candidates if c.remedy.changes != "training" and c.prescription.rate == 1.0]
    cause_gone = [c for c in able if not alarms(c.arm.seen.start) & problems]
    shaky = {t.remedy for t in trials if t.outcome == "refused" and t.reason.startswith(_SHAKY)}  # with another seed
    stands = [c for c in cause_gone if c.remedy.name in shaky or not _keeps_down(c.arm.seen)]
    stands.sort(key=_worth)
    found = [(c, combine(c.prescription, rate[1])) for c in stands]
    return [(together(c.remedy, rate[0]), both) for c, both in found if both is not None][:CALMED]


def _worth(candidate: Candidate) -> tuple[bool, float, int]:
    left = candidate.arm.seen.mean()
    return bool(alarms(candidate.arm.seen.start)), left if math.isfinite(left) else math.inf, candidate.order


def _keeps_down(course: Course) -> bool:
    """Whether a training does not break off, comes down, and stays there."""
    begin = min(course.mean(0), math.inf if course.chance is None else course.chance)
    unsteady = wild(course.losses, course.mean(0)) or falls_back(course.losses, begin)
    return course.whole and trains(course, len(course.losses)) and not unsteady


def pairs_of(
    ranking: Ranking, candidates: Sequence[Candidate], problems: set[str]
) -> list[tuple[Remedy, Prescription]]:
    """Return the candidate that brought the loss down most together with others that do no harm.

    Those come first that treat a problem which it does not treat, in order of causes; else those that helped most.
    """
    first = ranking.rungs[0]
    base = ranking.base(first)
    harmless = [c for c in candidates if not c.arm.seen.mean(first) > base + CLEARLY * abs(base)]
    if len(harmless) < 2:
        return []
    one = min(harmless, key=lambda c: c.arm.seen.mean())
    left = problems - set(one.remedy.treats)
    others = [c for c in ranking.ranked(harmless, first) if c is not one]
    others.sort(key=lambda c: (False, c.order) if left & set(c.remedy.treats) else (True, 0))
    found: list[tuple[Remedy, Prescription]] = []
    known = {c.remedy.name for c in candidates}
    for other in others:
        both = combine(one.prescription, other.prescription)
        if both is not None and len(found) < PAIRS and together(one.remedy, other.remedy).name not in known:
            found.append((together(one.remedy, other.remedy), both))
    return found
