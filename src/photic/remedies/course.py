"""Courses: what was seen of one arm, as plain data, so that it can come from another process or from disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photic.records.findings import Diagnosis


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The loss on each held-back batch after so many steps; 0 is untrained."""

    steps: int
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """One arm of the experiment so far.

    Attributes:
        losses: training loss of every step.
        held_back: taken untrained and at every rung that was reached with a finite loss.
        start: what the rules say of it untrained.
        end: the same after the last step; None when nobody asked, or the training broke off.
        score: the user's score of the model after the last step; None when nobody asked.
        parameters: numbers in its trainable parameters.
        pace: seconds of a step, of the processor where the model lies on it: median of the fastest tenth; nan before the
            first, and where calls are substituted while the model runs, which takes a time of its own.
        seconds: wall time so far.
        rate, why: factor on the learning rate that a range test found, and how; `why` is '' without one.
        searched: steps that the range test made.
        chance: loss of who knows nothing of the inputs, where that is known: all classes alike, the mean of the targets.
        error: where a penalty is weighed anew, the held-back loss without it after the last step.
        other_loss: whether it is trained on another loss than the user's, so that training losses do not compare.
    """

    losses: tuple[float, ...]
    held_back: tuple[HeldBack, ...]
    start: Diagnosis
    parameters: int
    pace: float
    seconds: float
    end: Diagnosis | None = None
    score: float | None = None
    rate: float = 1.0
    why: str = ""
    searched: int = 0
    chance: float | None = None
    other_loss: bool = False
    error: float | None = None

    @property
    def whole(self) -> bool:
        """Whether the training did not break off so far."""
        return not self.losses or math.isfinite(self.losses[-1])

    def held_back_at(self, steps: int) -> tuple[float, ...]:
        """Return the loss on each held-back batch after so many steps; empty where it was not taken."""
        return next((one.losses for one in self.held_back if one.steps == steps), ())

    def mean(self, steps: int | None = None) -> float:
        """Mean loss on the held-back batches after so many steps, or the last; nan where the training broke off."""
        values = self.held_back_at(len(self.losses) if steps is None else steps)
        return sum(values) / len(values) if values else math.nan


def alarms(diagnosis: Diagnosis | None) -> set[str]:
    """Return the problems that are at least a warning."""
    if diagnosis is None:
        return set()
    return {finding.problem for finding in diagnosis.findings if finding.severity != "info"}
