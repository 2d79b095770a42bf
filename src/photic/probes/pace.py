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

    def __init__(self, budget: float) -> None:
        if not 0.0 <= budget <= 1.0:
            raise ValueError(f"the budget is a share of the time between 0 and 1, 0.01 for 1 %; got {budget}")
        self.budget = budget
        self.start_up_seconds = 0.0
        self.sampled_seconds = 0.0
        self.total_seconds = 0.0
        self._plain: deque[float] = deque(maxlen=31)
        self._cost: dict[Kind, float] = {}
        self._last = time.perf_counter()
        self._audited = 0

    @property
    def overhead(self) -> float:
        """Measured share of the time that samples cost, the start-up apart."""
        plain = self.total_seconds - self.sampled_seconds - self.start_up_seconds
        return self.sampled_seconds / plain if plain > 0.0 else 0.0

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
            usual = statistics.median(self._plain) if len(self._plain) >= 3 else 0.0
            cost = max(took - usual, own) if usual > 0.0 else own
            self._cost[kind] = cost if kind not in self._cost else 0.5 * (self._cost[kind] + cost)
            if kind == "audit" and step in START_UP:
                self.start_up_seconds += cost
            else:
                self.sampled_seconds += cost
        return self._next(step + 1)

    def rest(self) -> None:
        """What lies between here and the next step is not a step's time: an evaluation, a checkpoint, our own work."""
        self._last = time.perf_counter()

    def _next(self, step: int) -> Kind:
        if step in START_UP:
            self._audited = step
            return "audit"
        if len(self._plain) < 5:
            return "nothing"
        spare = self.budget * self.total_seconds - self.sampled_seconds
        if step >= 1.3 * self._audited + 10 and spare > 1.2 * self._cost.get("audit", 0.0) > 0.0:
            self._audited = step
            return "audit"
        if 0.5 * spare > self._cost.get("glance", 0.5 * statistics.median(self._plain)):
            return "glance"
        return "nothing"
