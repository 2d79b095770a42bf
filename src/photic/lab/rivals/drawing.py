"""The comparison as a picture: what is found of the sick against what is said of the healthy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from photic.lab.rivals.comparison import Tally
from photic.reports.canvas import canvas, store


def draw(tallies: Sequence[Tally], path: Path) -> Path:
    """Write a scatter plot, one dot a tool; the bar below the dot is the share that was named rightly."""
    with canvas(rows=1, columns=1, width=6.4, height=4.6) as (figure, axes):
        axis = axes[0][0]
        for tally in tallies:
            if not tally.sick or not tally.healthy:
                continue
            across = 100 * tally.false_alarms / tally.healthy
            found, named = 100 * tally.detected / tally.sick, 100 * tally.named / tally.sick
            (line,) = axis.plot([across, across], [named, found], lw=1, alpha=0.5)
            axis.plot(across, found, "o", ms=7, color=line.get_color())
            axis.plot(across, named, "_", ms=12, mew=2, color=line.get_color())
            variant = "," in tally.tool  # beside the tool itself: higher up, so that the two names do not meet
            right = across > 50 or variant
            axis.annotate(
                tally.tool.replace(", ", ",\n"), (across, named + 0.6 * (found - named) if variant else named),
                (-9 if right else 9, -3), textcoords="offset points", ha="right" if right else "left", color=line.get_color(),
            )  # fmt: skip
        axis.set(xlim=(-4, 104), ylim=(0, 104))
        axis.set_xlabel("healthy cases that are flagged, %")
        axis.set_ylabel("sick cases: found (dot), rightly named (bar), %")
        return store(figure, path)
