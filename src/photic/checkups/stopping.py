"""Stopping: each finding is told once, and where that is asked for it ends the training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from photic.records.findings import Finding

OnFinding = Callable[[Finding, int], None]
Stop = Literal["never", "critical", "warning"]
_STOPS: dict[Stop, tuple[str, ...]] = {
    "never": (),
    "critical": ("critical",),
    "warning": ("critical", "warning"),
}


class TrainingStopped(Exception):
    """Raised inside the user's loop, behind the optimizer's step, where `stop_on` asks for it.

    Attributes:
        finding: why.
        step: number of the optimizer step that showed it.
    """

    def __init__(self, finding: Finding, step: int) -> None:
        super().__init__(f"photic stopped the training at step {step}: {finding.problem}: {finding.reason}")
        self.finding, self.step = finding, step


class Teller:
    """Tells each problem once."""

    def __init__(self, on_finding: OnFinding | None, stop_on: Stop) -> None:
        if stop_on not in _STOPS:
            raise ValueError(f"stop_on is one of {', '.join(_STOPS)}; got {stop_on!r}")
        self.on_finding, self._stops = on_finding, _STOPS[stop_on]
        self._told: set[str] = set()
        self._stop: TrainingStopped | None = None

    def tell(self, finding: Finding, step: int) -> None:
        """Tell a finding if its problem was not told before."""
        if finding.problem in self._told:
            return
        self._told.add(finding.problem)
        if finding.severity in self._stops and self._stop is None:
            self._stop = TrainingStopped(finding, step)
        if self.on_finding is not None:
            self.on_finding(finding, step)

    def stops(self) -> TrainingStopped | None:
        """Return what is to be raised, once."""
        stop, self._stop = self._stop, None
        return stop
