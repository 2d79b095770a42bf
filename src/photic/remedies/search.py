"""Search: successive halving over the remedies, cause first; the best is proven with every seed, then combinations are tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from photic.records.treatments import Trial
from photic.remedies.candidate import Candidate
from photic.remedies.course import Course, alarms
from photic.remedies.crew import Crew, Member, Order
from photic.remedies.pairing import Hidden, calmed, layered, pairs_of
from photic.remedies.prescription import Prescription
from photic.remedies.ranking import ENOUGH, OF_ITSELF, Ranking
from photic.remedies.registry import Remedy
from photic.remedies.steadiness import UNSTEADY, breaks_through, wild
from photic.remedies.trials import (
    Pair,
    ahead,
    bottomless,
    closed,
    deep,
    judge,
    learns,
    learns_little,
    shown,
    trains,
    wavers,
)

SOON = 0.5  # one that leaves this share after the first rung is proven before what comes later is begun
FEW = 4  # that many are begun next where what takes the cause away does not cure
SHORT, MIDDLE = 8, 3  # the first rung is an eighth of the steps, the second a third
LEFT = 2  # that many at most reach the second rung
STEADY = 3  # so many more seeds are tried to the first rung where the untreated training is not steady
GROWING = {"exploding-gradient", "exploding-in-time", "diverging"}  # one seed's gradient is many times another's
RELIEFS = 2  # so many of those that only relieve are repeated with the other seeds


def rungs_of(steps: int) -> tuple[int, ...]:
    """Return the numbers of steps at which the arms are compared."""
    return tuple(sorted({min(rung, steps) for rung in (max(10, steps // SHORT), max(10, steps // MIDDLE), steps)}))


@dataclass
class Search:
    """One search for a cure.

    Attributes:
        crew: trains the arms.
        problems: findings of the untreated network that are to be gone.
        seeds: an accepted remedy cures with all of them.
        thorough: train every candidate to the end, and accept all that cure.
        unsteady: says in what way a prescription does not train steadily on the user's own batches, which may be drawn anew in each
            round; '' where it does. It is asked where a learning rate was raised.
        hidden: returns what treats problems of the network that a prescription makes, which were not seen without it.
        prescriptions: what was tried, by the name of the remedy.
        begun: the candidates that were trained, those that broke off too.
        enlisted: number of candidates so far; what is tried later is the larger change.
    """

    crew: Crew
    problems: set[str]
    seeds: Sequence[int]
    thorough: bool
    unsteady: Callable[[Prescription], str] = lambda _: ""
    hidden: Hidden = lambda *_: ()
    prescriptions: dict[str, Prescription] = field(default_factory=dict[str, Prescription])
    trials: list[Trial] = field(default_factory=list[Trial])
    controls: dict[int, Member] = field(default_factory=dict[int, Member])
    enlisted: int = 0
    begun: list[Candidate] = field(default_factory=list[Candidate])
    cured: list[Candidate] = field(default_factory=list[Candidate])

    @property
    def rungs(self) -> tuple[int, ...]:
        """Numbers of steps at which the arms are compared."""
        return self.crew.rungs

    def control(self, seed: int) -> Member:
        """Return the untreated arm of a seed."""
        if seed not in self.controls:
            self.controls[seed] = self.crew.enlist(_named("untreated", seed, self.seeds), None, seed)
        return self.controls[seed]

    @property
    def best(self) -> Remedy | None:
        """The accepted remedy: the first in order of those that are as good as the best."""
        return self.ranking.ranked(self.cured, self.rungs[-1])[0].remedy if self.cured else None

    def run(
        self, chosen: Sequence[tuple[Remedy, Prescription]], others: Sequence[tuple[Remedy, Prescription]] = ()
    ) -> None:
        """Try what treats the findings, then pairs of it, then `others`, until something cures; what was seen is in `trials`.

        `others` are the remedies of other problems that apply: where those of the findings fail, the cause may be another.
        Where nothing of a kind cured, what lets the network train far better in spite of a finding relieves.
        """
        first = self._round(chosen)
        if (
            not self.cured
            and not self.crew.over()
            and (both := layered(self.ranking, first, self.begun, self.trials, self.hidden))
        ):
            first += self._round(both)
        pairs = pairs_of(self.ranking, first, self.problems) if not self._far_enough(first) else []
        if pairs and not self.crew.over():
            first += self._round(pairs)
        rate = next((pair for pair in (*chosen, *others) if pair[1].search_rate), None)
        first += self._calmed(self.begun, rate)
        self._relieve(first)
        if others and not self.cured and not self.crew.over() and self._leaves_much():
            earlier = len(self.begun)
            second = self._round(others)
            self._relieve([*second, *self._calmed(self.begun[earlier:], rate)])

    def _calmed(self, begun: Sequence[Candidate], rate: tuple[Remedy, Prescription] | None) -> list[Candidate]:
        """Try those that took the findings away and do not train at another learning rate, where nothing cured."""
        if rate is None or self.cured or self.crew.over():
            return []
        return self._round(calmed(begun, self.problems, rate, self.trials))

    def _leaves_much(self) -> bool:
        """Whether the untreated network leaves so much of its loss that another cause is worth the search."""
        control = self.untreated
        return learns_little(control) or (bool(self.problems) and not deep(control, control))

    @property
    def untreated(self) -> Course:
        """What was seen of the untreated network with the first seed."""
        return self.controls[self.seeds[0]].seen

    @property
    def ranking(self) -> Ranking:
        """What tells which candidate is worth its proof first."""
        return Ranking(self.untreated, self.rungs)

    @property
    def learns(self) -> bool:
        """Whether the untreated network trains to the end of its steps."""
        return learns(self.untreated)

    def _far_enough(self, candidates: Sequence[Candidate]) -> bool:
        """Whether a remedy cured, and none that was refused brought the loss twice as far down."""
        base = self.ranking.worst(candidates, self.rungs[-1])
        ends = [c.arm.seen.mean() for c in candidates]
        gains = [base - end for end in ends if math.isfinite(end) and not bottomless(base, end)]
        cured = [base - c.arm.seen.mean() for c in self.cured]
        return bool(cured) and (not math.isfinite(base) or max(cured) >= ENOUGH * max(gains, default=0.0))

    def _round(self, chosen: Sequence[tuple[Remedy, Prescription]]) -> list[Candidate]:
        """Try what takes the cause itself away, and the rest where that does not cure at once; return what was trained."""
        before = len(self.cured)
        candidates = [
            Candidate(remedy, place, self.crew.enlist(remedy.name, prescription, self.seeds[0]))
            for place, (remedy, prescription) in enumerate(chosen, start=self.enlisted)
        ]
        self.enlisted += len(chosen)
        waiting: list[Candidate] = []
        seen: list[Candidate] = []
        for wave in self._waves(candidates):
            if self._deep(before):
                waiting += wave
                continue
            begun = self._begun(wave)
            seen += begun
            waiting += begun
            for candidate in self.ranking.ranked(waiting, self.rungs[0]) if not self.thorough else []:
                if len(self.cured) == before and self._promises(candidate) and not self.crew.over():
                    waiting.remove(candidate)
                    seen += self._attempt(candidate, before)
        if not self._deep(before):
            waiting = self._halved(waiting)
        for candidate in waiting:
            if len(self.cured) > before and not self.thorough and not self._goes_deeper(candidate):
                self._close(candidate, f"{self.cured[-1].remedy.name} cured and came before it")
            elif self.crew.over():
                self._close(candidate, "the time was over")
            else:
                seen += self._attempt(candidate, before)
        return seen

    def _attempt(self, candidate: Candidate, before: int) -> list[Candidate]:
        """Prove a candidate, and a calmer one where it is unsteady and no more than `before` have cured; return that."""
        self._prove(candidate)
        calmer = self._calmer(candidate) if len(self.cured) == before else None
        if calmer is None:
            return []
        self._prove(calmer)
        return [calmer]

    def _waves(self, candidates: list[Candidate]) -> list[list[Candidate]]:
        """Return what takes the cause itself away, the next few, and the rest: what comes later is begun where the earlier do not cure."""
        first = [c for c in candidates if c.remedy.rank <= OF_ITSELF]
        rest = [c for c in candidates if c not in first]
        waves = [candidates] if self.thorough else [first, rest[:FEW], rest[FEW:]]
        return [wave for wave in waves if wave] or [[]]

    def _deep(self, before: int) -> bool:
        """Whether one beyond the first `before` that cured leaves so little of the loss that no other can do much better."""
        return any(deep(self.untreated, c.arm.seen) for c in self.cured[before:])

    def _promises(self, candidate: Candidate) -> bool:
        """Whether half of the loss is gone so soon that it may leave too little for any other to do much better.

        Another learning rate makes up for much that it does not cure: it waits, unless it takes the cause away.
        """
        waits = candidate.prescription.rate != 1.0 and candidate.remedy.rank > OF_ITSELF
        return not waits and deep(self.untreated, candidate.arm.seen, left=SOON)

    def _goes_deeper(self, candidate: Candidate) -> bool:
        """Whether most of the loss is left by what cured, and little by a candidate already that is not trained to the end yet."""
        control, course = self.untreated, candidate.arm.course
        return course is not None and deep(control, course) and not self._deep(0)

    def _calmer(self, candidate: Candidate) -> Candidate | None:
        """Return the candidate at a tenth of a learning rate that was found and did not keep the training steady to the end."""
        if candidate.arm.course is None or not candidate.arm.seen.why:
            return None
        course, found, said = candidate.arm.seen, candidate.prescription, self.trials[-1].reason
        if course.whole and not said.startswith(UNSTEADY):
            return None
        slower = replace(found, rate=0.1 * found.rate, why=f"a tenth of {found.why}, which is unsteady later on")
        remedy = replace(candidate.remedy, name=f"{candidate.remedy.name}, a tenth")
        self.prescriptions[remedy.name] = slower
        return Candidate(remedy, candidate.order, self.crew.enlist(remedy.name, slower, self.seeds[0]))

    def _begun(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Train the control to the end and all candidates to the first rung; return those that this does not refuse."""
        control, short = self.control(self.seeds[0]), self.rungs[0]
        self.crew.work(Order(control, self.rungs[-1], judged=True), *(Order(c.arm, short) for c in candidates))
        if control.course is None:
            raise RuntimeError(f"the untreated network could not be trained: {control.failure or 'the time was over'}")
        dropped = [c for c in candidates if c.arm.course is not None and self._hopeless(c)]
        self.crew.work(*(Order(c.arm, short, judged=True) for c in dropped))
        left: list[Candidate] = []
        for candidate in candidates:
            course = candidate.arm.course
            if candidate.arm.failure:
                self.trials.append(closed(candidate.remedy, "failed", candidate.arm.failure))
            elif course is None:
                self.trials.append(closed(candidate.remedy, "stopped", "the time was over"))
            else:
                self.prescriptions[candidate.remedy.name] = candidate.prescription
                self.begun.append(candidate)
                if candidate in dropped:
                    self.trials.append(self._judged(candidate, [(control.course, course, len(course.losses))]))
                    self.crew.release(candidate.arm)
                else:
                    left.append(candidate)
        return left

    def _hopeless(self, candidate: Candidate) -> bool:
        """Whether it broke off, or the mechanism is still there after the first rung and the loss does not move."""
        course, control = candidate.arm.seen, self.untreated
        if not course.whole:
            return True
        last = len(course.losses) - 1
        still = alarms(course.start) & self.problems if candidate.remedy.changes != "training" else set[str]()
        idle = still and last < len(control.losses) and course.losses[-1] > 0.98 * control.losses[last]
        return bool(idle) and self.rungs[0] < self.rungs[-1]

    def _halved(self, waiting: list[Candidate]) -> list[Candidate]:
        """Train the best on to the second rung, and return all in the order in which they are worth their proof."""
        if self.thorough:
            self.crew.work(*(Order(c.arm, self.rungs[-1], judged=True) for c in waiting))
        if self.thorough or len(waiting) < 2 or len(self.rungs) < 2:
            return waiting
        ranked = self.ranking.ranked(waiting, self.rungs[0])
        # The best of each kind of change comes first: what changes less may only be slower at the start.
        kinds = {c.remedy.changes: c for c in reversed(ranked)}.values()
        near = [
            c
            for c in ranked
            if (c.order <= ranked[0].order and self.ranking.moves(c)) or self.ranking.near(c, ranked[0])
        ]
        kept = sorted(near, key=lambda c: c not in kinds)[:LEFT]
        left = [c for c in ranked if c not in kept]
        if len(self.rungs) > 2 and len(kept) > 1:
            self.crew.work(*(Order(c.arm, self.rungs[1]) for c in kept))
            kept = self.ranking.ranked(kept, self.rungs[1])
        return kept + left

    def _prove(self, candidate: Candidate) -> None:
        """Train to the end, and with the other seeds as far as the first one needed to be sure."""
        others = [(self.control(s), self._again(candidate, s)) for s in self.seeds[1:]]
        # Where arms work side by side, the first rung of the other seeds costs no time.
        beside = [Order(arm, self.rungs[0]) for pair in others for arm in pair] if self.crew.at_once > 1 else []
        self.crew.work(Order(candidate.arm, self.rungs[-1], judged=True), *beside)
        control, course = self.untreated, candidate.arm.seen
        if candidate.arm.failure or (course.whole and course.end is None):
            self._close(candidate, candidate.arm.failure or "the time was over")
            return
        pairs: list[Pair] = [(control, course, len(course.losses))]
        sure = self.rungs[-1]
        trial = self._judged(candidate, pairs)
        if trial.outcome == "accepted":
            sure = next(
                (n for n in self.rungs if control.held_back_at(n) and ahead((control, course, n))), self.rungs[-1]
            )
            pairs += [pair for members in others if (pair := self._repeated(*members, sure=sure)) is not None]
            trial = self._judged(candidate, pairs)
            if trial.outcome == "accepted" and len(pairs) == 1 + len(others) and wavers(control, course):
                self.crew.work(*(Order(arm, self.rungs[-1], judged=True) for _, arm in others))
                pairs[1:] = [(c, arm.seen, n) for (c, _, n), (_, arm) in zip(pairs[1:], others, strict=True)]
                trial = self._judged(candidate, pairs)
                if any(arm.seen.whole and len(arm.seen.losses) < self.rungs[-1] for _, arm in others):
                    pairs = pairs[:1]  # it failed, or the time was over
        if len(pairs) < 1 + len(others) and trial.outcome == "accepted":
            trial = replace(trial, outcome="refused", reason=f"not repeated with every seed; {trial.reason}")
        if trial.outcome == "accepted" and (broken := self._broken(candidate, sure, [a for _, a, _ in pairs])):
            trial = replace(trial, outcome="refused", reason=f"{broken}; {trial.reason}", effects=())
        self.trials.append(trial)
        if trial.outcome == "accepted":
            self.cured.append(candidate)
        self.crew.release(candidate.arm, *(arm for _, arm in others))

    def _broken(self, candidate: Candidate, sure: int, proven: Sequence[Course]) -> str:
        """Say in what way the training is not steady beyond the seeds and batches that it was judged by; '' where it is.

        Some more seeds are tried as far as the first rung: where the untreated training breaks off, climbs, or has a gradient that explodes,
        and where the first rung was enough for the cure to show, as it has to with these; or where one that was `proven` stood first and
        learned late. One that does not fall by then goes on.
        """
        control, short = self.untreated, self.rungs[0]
        wild_before = not control.whole or wild(control.losses, control.mean(0)) or self.problems & GROWING
        at_once = sure == short and trains(candidate.arm.seen, short)
        luck = at_once or any(breaks_through(course.losses) for course in proven)
        if wild_before or luck:
            first = max(self.seeds) + 1
            more = [(seed, self._again(candidate, seed)) for seed in range(first, first + STEADY)]
            self.crew.work(*(Order(arm, short) for _, arm in more))
            known = [(seed, arm) for seed, arm in more if arm.course is not None]
            slow = [arm for _, arm in known if luck and arm.seen.whole and not trains(arm.seen, short)]
            for rung in self.rungs[1:]:
                late = [arm for arm in slow if arm.seen.whole and not trains(arm.seen, len(arm.seen.losses))]
                self.crew.work(*(Order(arm, rung) for arm in late))
            self.crew.release(*(arm for _, arm in more))
            for seed, arm in known:
                steps = len(arm.seen.losses)
                if not arm.seen.whole:
                    return f"with seed {seed} the training broke off at step {steps}"
                if climbs := wild(arm.seen.losses, arm.seen.mean(0)):
                    return f"with seed {seed} {climbs.removeprefix(f'{UNSTEADY}: ')}"
                if arm in slow and not trains(arm.seen, steps):
                    return f"with seed {seed} the loss does not fall: {arm.seen.mean():.3g} after {steps} steps"
        return self.unsteady(candidate.prescription) if candidate.prescription.rate > 1.0 else ""

    def _relieve(self, candidates: Sequence[Candidate]) -> None:
        """Where nothing cured, accept the best of those refused for a finding alone, or for held-back batches, that train far better."""
        last, control = self.rungs[-1], self.untreated
        judged = [c for c in candidates if c.arm.course is not None and c.arm.course.end is not None]
        able = [c for c in judged if self._judged(c, [(control, c.arm.seen, last)], relief=True).outcome == "accepted"]
        for candidate in sorted(able, key=lambda c: c.arm.seen.mean())[:RELIEFS]:  # a finding is left in any case
            if self.cured or self.crew.over():
                return
            again = [(self.control(s), self._again(candidate, s)) for s in self.seeds[1:]]
            repeated = [pair for members in again if (pair := self._repeated(*members, sure=last)) is not None]
            pairs = [(control, candidate.arm.seen, last), *repeated]
            self.crew.release(*(arm for _, arm in again))
            trial = self._judged(candidate, pairs, relief=True)
            if (
                trial.outcome == "accepted"
                and len(pairs) == len(self.seeds)
                and not self._broken(candidate, self.rungs[0], [a for _, a, _ in pairs])
            ):
                self.trials = [trial if old.remedy == trial.remedy else old for old in self.trials]
                self.cured.append(candidate)

    def _again(self, candidate: Candidate, seed: int) -> Member:
        return self.crew.enlist(_named(candidate.remedy.name, seed, self.seeds), candidate.prescription, seed)

    def _repeated(self, control: Member, arm: Member, *, sure: int) -> Pair | None:
        """Train with another seed as far as the first needed to be sure, and on to the end while this one is not."""
        for rung in self.rungs:
            self.crew.work(Order(control, rung), Order(arm, rung))
            if arm.course is None or control.course is None or (arm.seen.whole and len(arm.seen.losses) < rung):
                return None  # it failed, or the time was over
            if not arm.seen.whole or (rung >= sure and ahead((control.seen, arm.seen, rung))):
                break
        steps = len(arm.seen.losses)
        self.crew.work(Order(control, steps, judged=True), Order(arm, steps, judged=True))
        return control.seen, arm.seen, steps

    def _judged(self, candidate: Candidate, pairs: Sequence[Pair], *, relief: bool = False) -> Trial:
        return judge(candidate.remedy, self.problems, pairs, relief=relief)

    def _close(self, candidate: Candidate, reason: str) -> None:
        course = candidate.arm.course
        if course is None:
            self.trials.append(closed(candidate.remedy, "stopped", reason))
            return
        size = f"loss on held-back batches {course.mean():.3g} after {len(course.losses)} of {self.rungs[-1]} steps"
        self.trials.append(shown(candidate.remedy, course, "stopped", f"{reason}; {size}"))
        self.crew.release(candidate.arm)


def _named(remedy: str, seed: int, seeds: Sequence[int]) -> str:
    return remedy if seed == seeds[0] else f"{remedy} (seed {seed})"
