"""Search: successive halving over the remedies, cause first; the best is proven with every seed, then combinations are tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from photic.records.treatments import Outcome, Trial
from photic.remedies.arms import Arm, Score, alarms
from photic.remedies.combine import combine, together
from photic.remedies.material import Material
from photic.remedies.prescription import Prescription
from photic.remedies.range_test import with_rate
from photic.remedies.registry import Remedy
from photic.remedies.trials import CLEARLY, ahead, judge, shown

Tell = Callable[[str], None]
AS_GOOD = 0.25  # a smaller change is preferred while its held-back loss is within this share of the best improvement
OF_THE_CAUSE = 0.5  # and one that takes the cause itself away within this share
ENOUGH = 0.5  # a cure brings the loss down at least so far as what was tried and refused; else pairs are tried
SHORT, MIDDLE = 8, 3  # the first rung is an eighth of the steps, the second a third
LEFT = 3  # that many at most reach the second rung
PAIRS = 3  # combinations that are tried when no single remedy cures


@dataclass(eq=False)
class Candidate:
    """A remedy under trial: its place (cause first, smaller change first), and its arm with the first seed."""

    remedy: Remedy
    prescription: Prescription
    order: int
    arm: Arm


@dataclass
class Search:
    """One search for a cure.

    Attributes:
        problems: findings of the untreated network that are to be gone.
        seeds: an accepted remedy cures with all of them.
        thorough: train every candidate to the end, and accept all that cure.
        out_of_time: whether to stop.
        prescriptions: what was tried, by the name of the remedy.
        trained: training steps made so far.
    """

    material: Material
    problems: set[str]
    seeds: Sequence[int]
    steps: int
    score: Score | None
    thorough: bool
    tell: Tell
    out_of_time: Callable[[], bool]
    prescriptions: dict[str, Prescription] = field(default_factory=dict[str, Prescription])
    trained: int = 0
    trials: list[Trial] = field(default_factory=list[Trial])
    controls: dict[int, Arm] = field(default_factory=dict[int, Arm])
    cured: list[Candidate] = field(default_factory=list[Candidate])

    @property
    def rungs(self) -> tuple[int, ...]:
        """Numbers of steps at which the arms are compared."""
        found = {max(10, self.steps // SHORT), max(10, self.steps // MIDDLE), self.steps}
        return tuple(sorted(min(rung, self.steps) for rung in found))

    def control(self, seed: int, upto: int | None = None) -> Arm:
        """Return the untreated arm of a seed, trained at least so far."""
        if seed not in self.controls:
            self.tell(f"train untreated, seed {seed}")
            self.controls[seed] = Arm(self.material, None, seed)
        for rung in self.rungs:
            if upto is None or rung <= upto:
                self.trained += self.controls[seed].advance(rung)
        return self.controls[seed]

    @property
    def best(self) -> Remedy | None:
        """The accepted remedy: the first in order of those that are as good as the best."""
        return self._ranked(self.cured, self.steps)[0].remedy if self.cured else None

    def run(self, chosen: Sequence[tuple[Remedy, Prescription]]) -> None:
        """Try single remedies, and pairs of them when none cures; what was seen is in `trials`."""
        self.control(self.seeds[0])
        first = self._round(chosen)
        pairs = self._pairs(first) if not self._far_enough(first) else []
        if pairs and not self.out_of_time():
            self._round(pairs)

    def _far_enough(self, candidates: Sequence[Candidate]) -> bool:
        """Whether a remedy cured, and none that was refused brought the loss twice as far down."""
        base = self._base(self.steps)
        gains = [base - c.arm.mean() for c in candidates if math.isfinite(c.arm.mean())]
        cured = [base - c.arm.mean() for c in self.cured]
        return bool(cured) and (not math.isfinite(base) or max(cured) >= ENOUGH * max(gains))

    def _base(self, steps: int) -> float:
        """Held-back loss of the untreated network after so many steps; untrained where it broke off."""
        control = self.controls[self.seeds[0]]
        return control.mean(steps) if control.whole else control.mean(0)

    def _round(self, chosen: Sequence[tuple[Remedy, Prescription]]) -> list[Candidate]:
        waiting = [found for place, (r, p) in enumerate(chosen) if (found := self._begun(r, p, place)) is not None]
        seen = list(waiting)
        if not self.thorough:
            waiting = self._halved(waiting)
        before = len(self.cured)
        for candidate in waiting:
            if len(self.cured) > before and not self.thorough:
                self._close(candidate, f"{self.cured[-1].remedy.name} cured and came before it")
            elif self.out_of_time():
                self._close(candidate, "the time was over")
            else:
                self._prove(candidate)
        return seen

    def _begun(self, remedy: Remedy, prescription: Prescription, place: int) -> Candidate | None:
        """Make the first arm and train it to the first rung; None when that alone refuses it."""
        if self.out_of_time():
            self.trials.append(closed(remedy, "stopped", "the time was over"))
            return None
        self.tell(f"try {remedy.name}")
        try:
            if prescription.search_rate:
                prescription, made = with_rate(
                    prescription, self.material, seed=self.seeds[0], steps=max(15, self.steps // 20)
                )
                self.trained += made
            arm = Arm(self.material, prescription, self.seeds[0])
            self.trained += arm.advance(self.rungs[0])
        except Exception as error:
            self.trials.append(closed(remedy, "failed", f"{type(error).__name__}: {error}"))
            return None
        self.prescriptions[remedy.name] = prescription
        candidate = Candidate(remedy, prescription, place, arm)
        control = self.controls[self.seeds[0]]
        short = len(arm.losses) - 1
        still = alarms(arm.start) & self.problems if remedy.changes != "training" else set[str]()
        idle = still and short < len(control.losses) and arm.losses[-1] > 0.98 * control.losses[short]
        if not arm.whole or (idle and self.rungs[0] < self.steps):
            # It broke off; or the mechanism is still there and the loss does not move: no need for the rest.
            self.trials.append(self._judged(candidate, [(control, arm, len(arm.losses))]))
            arm.release()
            return None
        return candidate

    def _halved(self, waiting: list[Candidate]) -> list[Candidate]:
        """Train the best on to the second rung, and return all in the order in which they are worth their proof."""
        if len(waiting) < 2 or len(self.rungs) < 2:
            return waiting
        ranked = self._ranked(waiting, self.rungs[0])
        # The best of each kind of change comes first: what changes less may only be slower at the start.
        kinds = {c.remedy.changes: c for c in reversed(ranked)}.values()
        kept = sorted(ranked, key=lambda c: c not in kinds)[:LEFT]
        left = [c for c in ranked if c not in kept]
        if len(self.rungs) > 2 and len(kept) > 1:
            for candidate in kept:
                if not self.out_of_time():
                    self.tell(f"train with {candidate.remedy.name}")
                    self.trained += candidate.arm.advance(self.rungs[1])
            kept = self._ranked(kept, self.rungs[1])
        return kept + left

    def _ranked(self, candidates: list[Candidate], steps: int) -> list[Candidate]:
        """Sort by the held-back loss, but a smaller change or one of the cause stands first while it is as good."""
        losses = {id(c): m if math.isfinite(m := c.arm.mean(steps)) else math.inf for c in candidates}
        best = min(losses.values())
        other = self._base(steps)
        room = max(other - best, 0.0) if math.isfinite(best) and math.isfinite(other) else 0.0

        def key(candidate: Candidate) -> tuple[bool, float, int]:
            loss = losses[id(candidate)]
            share = OF_THE_CAUSE if candidate.remedy.rank <= 1 else AS_GOOD
            return (False, 0.0, candidate.order) if loss <= best + share * room else (True, loss, candidate.order)

        return sorted(candidates, key=key)

    def _prove(self, candidate: Candidate) -> None:
        """Train to the end, and with the other seeds as far as the first one needed to be sure."""
        remedy, arm = candidate.remedy, candidate.arm
        control = self.controls[self.seeds[0]]
        self.tell(f"train with {remedy.name}")
        for rung in self.rungs:
            self.trained += arm.advance(rung)
        pairs = [(control, arm, len(arm.losses))]
        trial = self._judged(candidate, pairs)
        if trial.outcome == "accepted":
            sure = next((n for n in self.rungs if n in control.held_back and ahead((control, arm, n))), self.steps)
            pairs += [self._repeated(candidate, seed, sure) for seed in self.seeds[1:]]
            trial = self._judged(candidate, pairs)
        self.trials.append(trial)
        if trial.outcome == "accepted":
            self.cured.append(candidate)
        for _, one, _ in pairs:
            one.release()

    def _repeated(self, candidate: Candidate, seed: int, sure: int) -> tuple[Arm, Arm, int]:
        """Train with another seed as far as the first needed to be sure, and on to the end while this one is not."""
        self.tell(f"train with {candidate.remedy.name}, seed {seed}")
        arm = Arm(self.material, candidate.prescription, seed)
        control = self.control(seed, self.rungs[0])
        for rung in self.rungs:
            control = self.control(seed, rung)
            self.trained += arm.advance(rung)
            if not arm.whole or (rung >= sure and ahead((control, arm, rung))):
                break
        return control, arm, len(arm.losses)

    def _judged(self, candidate: Candidate, pairs: list[tuple[Arm, Arm, int]]) -> Trial:
        return judge(candidate.remedy, self.problems, pairs, score=candidate.arm.scored(self.score))

    def _close(self, candidate: Candidate, reason: str) -> None:
        arm = candidate.arm
        size = f"loss on held-back batches {arm.mean():.3g} after {len(arm.losses)} of {self.steps} steps"
        self.trials.append(shown(candidate.remedy, arm, "stopped", f"{reason}; {size}"))
        arm.release()

    def _pairs(self, candidates: list[Candidate]) -> list[tuple[Remedy, Prescription]]:
        """Return the candidate that brought the loss down most together with others that do no harm.

        Those come first that treat a problem which it does not treat, in order of causes; else those that helped most.
        """
        first = self.rungs[0]
        base = self._base(first)
        harmless = [c for c in candidates if not c.arm.mean(first) > base + CLEARLY * abs(base)]
        if len(harmless) < 2:
            return []
        one = min(harmless, key=lambda c: c.arm.mean())
        left = self.problems - set(one.remedy.treats)
        others = [c for c in self._ranked(harmless, first) if c is not one]
        others.sort(key=lambda c: (False, c.order) if left & set(c.remedy.treats) else (True, 0))
        found: list[tuple[Remedy, Prescription]] = []
        for other in others:
            both = combine(one.prescription, other.prescription)
            if both is not None and len(found) < PAIRS:
                found.append((together(one.remedy, other.remedy), both))
        return found


def closed(remedy: Remedy, outcome: Outcome, reason: str) -> Trial:
    """Return a trial that ended before anything was trained."""
    return Trial(remedy.name, remedy.title, remedy.changes, outcome, reason)
