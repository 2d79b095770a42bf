"""Pace: which steps are sampled, so that watching costs no more than its budget."""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import Literal

Kind = Literal["nothing", "glance", "audit"]

START_UP = (0, 2, 8, 32, 128, 512)  # audits of the start-up allowance: short runs get their verdict from these
_TRIES = 3  # audits in a row that read nothing, until the next tries come ever later
_OTHERS = 16  # optimizers whose steps are timed apart


class _Costs:
    """What the samples of one kind cost.

    A pause of the user's own in a sampled step (a validation, a checkpoint) is not ours: of the last samples none counts
    more than three times what three quarters of them stay below.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._settled = 0.0
        self.usual = 0.0  # what one of them costs; 0 before the first
        self.total = 0.0  # what all of them cost

    def add(self, seconds: float) -> None:
        """Count a sample."""
        self._recent.append(seconds)
        if len(self._recent) > 15:
            self._settled += min(self._recent.popleft(), 3.0 * self.usual)
        self.usual = sorted(self._recent)[int(0.75 * (len(self._recent) - 1))]
        self.total = self._settled + sum(min(each, 3.0 * self.usual) for each in self._recent)


class Pace:
    """Times the steps and decides what the next one is.

    A sampled step costs what it takes longer than the median of recent plain ones of the same optimizer. The six audits of
    the start-up are counted apart. After that a sample is taken only where all of them together stay within `budget` of
    the time.

    Attributes:
        budget: share of the time, 0.01 for 1 %.
        start_up_seconds: what the start-up audits cost.
        total_seconds: of all steps so far.
    """

    def __init__(self, budget: float, *, every: int = 0) -> None:
        if not 0.0 <= budget <= 1.0:
            raise ValueError(f"the budget is a share of the time between 0 and 1, 0.01 for 1 %; got {budget}")
        if every < 0:
            raise ValueError(
                f"expected a glance at every 1st, 2nd ... step, or 0 for as the budget allows; got {every}"
            )
        self.budget = budget
        self.every = every
        self.audit_every = 0  # audits by step number alone: ranks that talk in an audit must agree without a clock
        self.start_up_seconds = 0.0
        self.total_seconds = 0.0
        self._plain: deque[float] = deque(
            maxlen=31
        )  # steps that are compared with; with a glance each where all have one
        self._plain_of: dict[int, deque[float]] = {}  # the same by optimizer
        self._glances, self._audits, self._repeats = _Costs(), _Costs(), _Costs()
        self._known = 0.0  # seconds of ours that were timed and need no comparing
        self._audit_cost = _Costs()  # with those of the start-up
        self._unpriced: list[tuple[int, Kind | Literal["again"], float, float, int]] = []
        self._last = time.perf_counter()
        self._audited = 0
        self._allowed: set[int] = set()
        self._misses = 0
        self._sick = False  # the last glance met NaN or infinities
        self._rang: int | None = None  # the step of the last alarm
        self._confirmed = 0  # the step of the last audit that was confirmed
        self._again: int | None = None  # from this step on an audit is tried again

    def allow(self, step: int) -> None:
        """Count an audit at this step as one of the start-up: the same for another optimizer."""
        if step <= START_UP[-1] + len(START_UP):
            self._allowed.add(step)

    @property
    def glances_unmeasured(self) -> bool:
        """Whether every step has a glance, so that nobody knows what one takes without."""
        return self.every == 1

    @property
    def sampled_seconds(self) -> float:
        """What all samples but those of the start-up cost."""
        return self._glances.total + self._for_audits

    @property
    def overhead(self) -> float:
        """Measured share of the time that samples cost, the start-up apart."""
        return self.sampled_seconds / self._own_time if self._own_time > 0.0 else 0.0

    @property
    def _for_audits(self) -> float:
        return self._audits.total + self._repeats.total + self._known

    @property
    def _own_time(self) -> float:
        """What the training itself took."""
        return self.total_seconds - self.sampled_seconds - self.start_up_seconds

    def stepped(self, step: int, kind: Kind | Literal["again"], *, own: float, of: int = 0) -> Kind:
        """Tell that step number `step` has ended, and get what the next one shall be.

        Args:
            kind: what this step was; 'again': an audit of the step before read this one too.
            own: seconds of ours that are known to lie outside of hooks.
            of: number of the optimizer that stepped.
        """
        now = time.perf_counter()
        took, self._last = now - self._last, now
        self.total_seconds += took
        if kind == "nothing" or (kind == "glance" and self.glances_unmeasured):
            self._plain.append(took)
            if of < _OTHERS:
                self._plain_of.setdefault(of, deque(maxlen=31)).append(took)
        else:
            self._unpriced.append((step, kind, took, own, of))
        if kind == "again":
            self.allow(step)
        if len(self._plain) >= 3:  # before that nobody knows what a plain step takes
            for sample in self._unpriced:
                self._price(*sample)
            self._unpriced.clear()
        return self._next(step + 1)

    def _price(self, step: int, kind: Kind | Literal["again"], took: float, own: float, of: int) -> None:
        plain = self._plain_of.get(of, ())
        usual = statistics.median(plain if len(plain) >= 3 else self._plain)
        cost = max(took - usual, own)
        if kind == "glance":
            self._glances.add(cost)
            return
        if kind == "audit":
            self._audit_cost.add(cost)
        if self._is_start_up(step):
            self.start_up_seconds += cost
        else:
            (self._audits if kind == "audit" else self._repeats).add(cost)

    def _is_start_up(self, step: int) -> bool:
        return step in START_UP or step in self._allowed

    def missed(self, step: int, following: Kind) -> Kind:
        """Tell that an audit read nothing, and get what step number `step`, the next one, shall be."""
        self._misses += 1
        if self._misses <= _TRIES:
            return "audit"
        self._again = step + 2 ** min(self._misses, 30)
        return following

    def read(self) -> None:
        """Tell that an audit read its step."""
        self._misses = 0
        if self._rang is None or self._again != self._rang + 1:  # of an alarm the second audit is still to come
            self._again = None

    def alarmed(self, step: int, following: Kind, *, sick: bool) -> Kind:
        """Tell whether a glance rang the alarm, and get what step number `step`, the next one, shall be.

        Where it did for the first time since it was silent, the next two steps are audited: two audits make a finding.
        """
        rings = sick and not self._sick and (self._rang is None or step >= 1.3 * self._rang + 10)
        self._sick = sick
        if not rings:
            return following
        self._rang, self._again = step, step + 1
        return "audit"

    def confirm(self, step: int) -> None:
        """Tell that the audit of a step showed something for the first time: soon there is another, which makes it a finding.

        Not where one of the start-up comes soon anyway, and ever more rarely where what is shown comes and goes.
        """
        soon = step + max(4, step // 8)
        if any(step < start <= 2 * soon for start in START_UP) or step < 1.3 * self._confirmed:
            return
        self._confirmed, self._again = step, soon
        self.allow(soon)

    def passed(self) -> None:
        """Tell that a step went by that was none: a scaler skipped it."""
        now = time.perf_counter()
        self.total_seconds += now - self._last
        self._last = now

    def judged(self, step: int, kind: Kind) -> None:
        """Count what went by since the last step as ours: judging and recording."""
        now = time.perf_counter()
        if kind == "audit" and self._is_start_up(step):
            self.start_up_seconds += now - self._last
        else:
            self._known += now - self._last
        self.total_seconds += now - self._last
        self._last = now

    def _next(self, step: int) -> Kind:
        if self._audits_at(step):
            self._audited = step
            return "audit"
        if self.audit_every:
            return "nothing"
        if self.every:
            return "glance" if step % self.every == 0 else "nothing"
        if len(self._plain) < 5:
            return "nothing"
        usual = self._glances.usual or 0.5 * statistics.median(self._plain)
        if 0.5 * self.budget * self._own_time - self._glances.total > usual:
            return "glance"
        return "nothing"

    def _audits_at(self, step: int) -> bool:
        if step in START_UP:
            return True
        if self._again is not None and step >= self._again:
            self._again = None
            return True
        if self.audit_every:
            return step % self.audit_every == 0
        if len(self._plain) < 5 or step < 1.3 * self._audited + 10:
            return False
        share = 1.0 if self.every else 0.5  # glances have the other half, so that neither kind waits for the other's
        return share * self.budget * self._own_time - self._for_audits > 1.2 * self._audit_cost.usual > 0.0
