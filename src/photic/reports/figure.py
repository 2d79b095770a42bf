"""A figure of the depth profile: measured and predicted, before and after; trials; the activation with its units."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photic.records.findings import Checkup
from photic.records.profiles import Profile
from photic.records.treatments import TreatmentRecord
from photic.reports.canvas import canvas, store
from photic.reports.curve import Curve

# Okabe and Ito's colours, told apart by the colour-blind.
_BEFORE, _AFTER, _THEORY, _OTHER = "#D55E00", "#0072B2", "#555555", "#BBBBBB"


def draw(record: Checkup | TreatmentRecord, path: str | os.PathLike[str], *, curve: Curve | None = None) -> Path:
    """Draw the record into an SVG, PNG or PDF file, as the ending says, and return the path.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed; the message says how to install it.
        ValueError: if the record has no depth profile.
    """
    before = record.before if isinstance(record, TreatmentRecord) else record
    if before.diagnosis.profile is None:
        raise ValueError("there is no depth profile to draw: no gradient was measured")
    trials = [t for t in record.trials if t.losses] if isinstance(record, TreatmentRecord) else []
    panels = 1 + bool(trials) + (curve is not None)
    with canvas(rows=1, columns=panels, width=4.6 * panels, height=3.6) as (figure, grid):
        axes: list[Any] = list(grid[0])
        _profile(axes[0], record, before.diagnosis.profile)
        if trials:
            _losses(axes[1], trials)
        if curve is not None:
            _curve(axes[-1], curve)
        return store(figure, path)


def _profile(axes: Any, record: Checkup | TreatmentRecord, profile: Profile) -> None:
    _line(
        axes, profile, _BEFORE, "untreated, measured" if isinstance(record, TreatmentRecord) else "measured", band=True
    )
    if isinstance(record, TreatmentRecord) and record.after is not None and record.after.diagnosis.profile is not None:
        _line(axes, record.after.diagnosis.profile, _AFTER, f"{record.remedy}, measured", band=True, named=False)
    axes.axhline(profile.threshold, color=_OTHER, linewidth=0.8, linestyle=":")
    axes.text(1, profile.threshold, "reached: above this line", fontsize=7, color=_THEORY, va="top", ha="left")
    axes.set_yscale("log")
    axes.set_xlabel("layer, from the input to the output")
    axes.set_ylabel("error gradient, relative to the top layer")
    axes.set_title("How deep the gradient reaches", loc="left", fontweight="bold")
    axes.legend(frameon=False, fontsize=7)


def _line(axes: Any, profile: Profile, colour: str, label: str, *, band: bool, named: bool = True) -> None:
    points = [(i + 1, line) for i, line in enumerate(profile.layers)]
    measured = [(x, line.transport) for x, line in points if line.transport]
    axes.plot(*zip(*measured, strict=True), "o-", color=colour, markersize=4, linewidth=1.5, label=label)
    expected = [(x, line.predicted, line.low, line.high) for x, line in points if line.predicted and line.low]
    if band and expected:
        x, middle, low, high = zip(*expected, strict=True)
        axes.plot(x, middle, "--", color=_THEORY, linewidth=1.0, label="predicted (mean field)" if named else None)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _losses(axes: Any, trials: Sequence[Any]) -> None:
    colours = iter(("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442"))
    left = 0
    for trial in trials:
        smooth = _smoothed(trial.losses)
        if trial.outcome == "control":
            axes.plot(smooth, color=_BEFORE, linewidth=1.8, label="untreated")
            _band(axes, trial, _BEFORE)
        elif trial.outcome == "accepted":
            colour = next(colours, "#000000")
            axes.plot(smooth, color=colour, linewidth=1.3, label=trial.remedy)
            _band(axes, trial, colour)
        else:
            left += 1
            axes.plot(
                smooth,
                color=_OTHER,
                linewidth=1.0,
                linestyle="--",
                label="_nolegend_" if left > 1 else "refused or stopped",
            )
    # What broke off or was refused may leave the picture: it would flatten the rest.
    told = [_smoothed(t.losses) for t in trials if t.outcome in ("control", "accepted")]
    top, bottom = 2.0 * max(one[0] for one in told), min(0.0, *(value for one in told for value in one))
    if math.isfinite(top) and math.isfinite(bottom) and top > bottom:
        axes.set_ylim(bottom, top)
    axes.set_xlabel("training step")
    axes.set_ylabel("training loss")
    axes.set_title("Trials; shaded: the other seeds", loc="left", fontweight="bold")
    axes.legend(frameon=False, fontsize=7)


def _band(axes: Any, trial: Any, colour: str) -> None:
    """Shade between the lowest and the highest of the seeds, as far as at least two were trained."""
    smooth = [_smoothed(losses) for losses in (trial.losses, *trial.seed_losses)]
    at_each = [[one[step] for one in smooth if len(one) > step] for step in range(len(smooth[0]))]
    several = [(step, min(values), max(values)) for step, values in enumerate(at_each) if len(values) > 1]
    if several:
        axes.fill_between(*zip(*several, strict=True), color=colour, alpha=0.18, linewidth=0)


def _smoothed(losses: Sequence[float], window: int = 10) -> list[float]:
    return [sum(losses[max(0, i - window + 1) : i + 1]) / min(i + 1, window) for i in range(len(losses))]


def _curve(axes: Any, curve: Curve) -> None:
    axes.plot(curve.x, curve.value, color=_AFTER, linewidth=1.6, label=curve.name)
    axes.plot(curve.x, curve.slope, color=_BEFORE, linewidth=1.6, label="its slope")
    low, high = min(*curve.value, *curve.slope), max(*curve.value, *curve.slope)
    step = 0.06 * (high - low)
    for layer, (_, _, q05, q25, q50, q75, q95, _, _) in enumerate(curve.quantiles):
        y = low - step * (layer + 1)
        axes.plot([q05, q95], [y, y], color=_OTHER, linewidth=1.0)
        axes.plot([q25, q75], [y, y], color=_THEORY, linewidth=2.2)
        axes.plot([q50], [y], "o", color=_THEORY, markersize=2.5)
    if curve.quantiles:
        axes.text(curve.x[0], low - step, "units of layer 1", fontsize=7, color=_THEORY, va="center")
        axes.text(
            curve.x[0],
            low - step * len(curve.quantiles),
            f"layer {len(curve.quantiles)}",
            fontsize=7,
            color=_THEORY,
            va="center",
        )
    axes.set_xlabel("pre-activation")
    axes.set_title(f"Where the units sit on {curve.name}", loc="left", fontweight="bold")
    axes.legend(frameon=False, fontsize=7, loc="upper left")
