"""Pace: which steps are sampled, so that watching costs no more than its budget."""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import Literal

Kind = Literal["nothing", "glance", "audit"]

START_UP = (0, 2, 8, 32, 128, 512)  # audits of the start-up allowance: short runs get their verdict from these


class Pace:
    """Times the steps and decides what the next one is.

    A sampled step costs what it takes longer than the median of recent plain ones. The six audits of the start-up are
    counted apart. After that a sample is taken only where all of them together stay within `budget` of the time.

    Attributes:
        budget: share of the time, 0.01 for 1 %.
        start_up_seconds: what the start-up audits cost.
        sampled_seconds: what all other samples cost.
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
        self.sampled_seconds = 0.0
        self.total_seconds = 0.0
        self._plain: deque[float] = deque(maxlen=31)
        self._cost: dict[Kind, float] = {}
        self._unpriced: list[tuple[int, Kind, float, float]] = []
        self._last = time.perf_counter()
        self._audited = 0
        self._glances = 0.0
        self._allowed: set[int] = set()

    def allow(self, step: int) -> None:
        """Count an audit at this step as one of the start-up: the same for another optimizer."""
        if step <= START_UP[-1] + len(START_UP):
            self._allowed.add(step)

    @property
    def overhead(self) -> float:
        """Measured share of the time that samples cost, the start-up apart."""
        return self.sampled_seconds / self._own_time if self._own_time > 0.0 else 0.0

    @property
    def _own_time(self) -> float:
        """What the training itself took."""
        return self.total_seconds - self.sampled_seconds - self.start_up_seconds

    def stepped(self, step: int, kind: Kind, *, own: float) -> Kind:
        """Tell that step number `step` has ended, and get what the next one shall be.

        Args:
            kind: what this step was.
            own: seconds of ours that are known to lie outside of hooks.
        """
        now = time.perf_counter()
        took, self._last = now - self._last, now
        self.total_seconds += took
        if kind == "nothing":
            self._plain.append(took)
        else:
            self._unpriced.append((step, kind, took, own))
        if len(self._plain) >= 3 or self.every == 1:  # before that nobody knows what a plain step takes
            usual = statistics.median(self._plain) if self._plain else took
            for sample in self._unpriced:
                self._price(*sample, usual)
            self._unpriced.clear()
        return self._next(step + 1)

    def _price(self, step: int, kind: Kind, took: float, own: float, usual: float) -> None:
        cost = max(took - usual, own)
        self._cost[kind] = cost if kind not in self._cost else 0.5 * (self._cost[kind] + cost)
        self._glances += cost if kind == "glance" else 0.0
        self.spent(step, kind, cost)

    def spent(self, step: int, kind: Kind, seconds: float) -> None:
        """Count seconds of ours: those of a sample, or of judging what it read."""
        if kind == "audit" and (step in START_UP or step in self._allowed):
            self.start_up_seconds += seconds
        else:
            self.sampled_seconds += seconds

    def passed(self) -> None:
        """Tell that a step went by that was none: a scaler skipped it."""
        now = time.perf_counter()
        self.total_seconds += now - self._last
        self._last = now

    def judged(self, step: int, kind: Kind) -> None:
        """Count what went by since the last step as ours: judging and recording."""
        now = time.perf_counter()
        self.spent(step, kind, now - self._last)
        self.total_seconds += now - self._last
        self._last = now

    def _next(self, step: int) -> Kind:
        if step in START_UP:
            self._audited = step
            return "audit"
        if self.audit_every:
            return "audit" if step % self.audit_every == 0 else "nothing"
        if self.every:
            return "glance" if step % self.every == 0 else "nothing"
        if len(self._plain) < 5:
            return "nothing"
        spare = self.budget * self._own_time - self.sampled_seconds
        if step >= 1.3 * self._audited + 10 and spare > 1.2 * self._cost.get("audit", 0.0) > 0.0:
            self._audited = step
            return "audit"
        for_glances = 0.5 * self.budget * self._own_time - self._glances  # the other half is left for audits
        if min(spare, for_glances) > self._cost.get("glance", 0.5 * statistics.median(self._plain)):
            return "glance"
        return "nothing"
