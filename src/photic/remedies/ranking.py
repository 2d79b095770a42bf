"""Ranking: which of the candidates is worth its proof first, by the held-back loss and the order of the cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from photic.remedies.candidate import Candidate
from photic.remedies.course import Course
from photic.remedies.trials import MUCH

AS_GOOD = 0.25  # a smaller change is preferred while its held-back loss is within this share of the best improvement
OF_ITSELF = 1  # the rank to which a remedy takes the cause itself away
OF_THE_CAUSE = 0.5  # and one that takes the cause itself away within this share
IDLE = 0.01  # who lowers the loss by less of it in the first steps stands
ENOUGH = 0.5  # a cure brings the loss down at least so far as what was tried and refused; else pairs are tried


@dataclass(frozen=True)
class Ranking:
    """Candidates beside what was seen of the untreated network, at these numbers of steps."""

    control: Course
    rungs: tuple[int, ...]

    def base(self, steps: int) -> float:
        """Held-back loss of the untreated network after so many steps; untrained where it broke off."""
        control = self.control
        return control.mean(steps) if control.whole else control.mean(0)

    def worst(self, candidates: Sequence[Candidate], steps: int) -> float:
        """The base, or what one of the candidates starts from: beside a loss of thousands every other would look alike."""
        starts = [c.arm.seen.mean(0) for c in candidates if c.arm.course is not None]
        return min([self.base(steps), *(start for start in starts if math.isfinite(start))])

    def moves(self, candidate: Candidate) -> bool:
        """Whether a candidate brought its own loss down in the first steps, if little."""
        before, after = candidate.arm.seen.mean(0), candidate.arm.seen.mean(self.rungs[0])
        return not after > before - IDLE * abs(before)

    def near(self, candidate: Candidate, best: Candidate) -> bool:
        """Whether a candidate brought the loss down at least half as far as the best in the first steps."""
        base = self.base(self.rungs[0])
        return not base - candidate.arm.seen.mean(self.rungs[0]) < ENOUGH * (base - best.arm.seen.mean(self.rungs[0]))

    def ranked(self, candidates: Sequence[Candidate], steps: int) -> list[Candidate]:
        """Sort by the held-back loss, but a smaller change or one of the cause stands first while it is as good.

        At the end what leaves more than `MUCH` of the loss is not as good as what leaves less.
        """
        ended = steps == self.rungs[-1]
        losses = {id(c): m if math.isfinite(m := c.arm.seen.mean(steps)) else math.inf for c in candidates}
        best = min(losses.values(), default=math.inf)
        other = self.worst(candidates, steps)
        room = max(other - best, 0.0) if math.isfinite(best) and math.isfinite(other) else 0.0

        def key(candidate: Candidate) -> tuple[bool, float, int]:
            loss = losses[id(candidate)]
            share = OF_THE_CAUSE if candidate.remedy.rank <= OF_ITSELF else AS_GOOD
            as_good = loss <= best + share * room and not (ended and 0.0 <= best <= MUCH * other < loss)
            return (False, 0.0, candidate.order) if as_good else (True, loss, candidate.order)

        return sorted(candidates, key=key)
