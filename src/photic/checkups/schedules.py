"""Schedules: what became of the learning rates between two readings."""

from __future__ import annotations

from photic.records.runs import Run

FALLS = 0.01  # a rate that is less than this share of what it was is being taken away


def schedule(start: Run, end: Run, *, begun: float | None = None) -> dict[str, str]:
    """Return the facts `rate` and `rates`; nothing where the rates stayed.

    `begun` is the highest rate after the first step: an optimizer may set its own rate when it steps.
    """
    before, after = ([parameter.learning_rate for parameter in run.parameters] for run in (start, end))
    if before == after:
        return {}
    highest, left = (max((rate for rate in rates if rate is not None), default=0.0) for rates in (before, after))
    highest = highest if begun is None else begun
    if left < FALLS * highest:
        return {"rate": "falling", "rates": f"{highest:.3g} to {left:.3g}"}
    return {"rate": "scheduled"}
