"""Drawings of Glorot and Bengio's figures: distributions by layer, at the start, on the way and at the end; and table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from photic.lab.claims import Numbers
from photic.lab.drawings import COLOURS, MARKS, few_digits, thousands
from photic.reports.canvas import canvas, store

_TITLES = {
    "Sigmoid": "sigmoid, standard initialisation",
    "Tanh": "tanh, standard initialisation",
    "Softsign": "softsign, standard initialisation",
    "Softsign N": "softsign, normalised initialisation",
    "Tanh N": "tanh, normalised initialisation",
}


_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def _outline(axis: Any, heights: Sequence[float], width: float, *, layer: int, label: str) -> None:
    """Draw a histogram from -width to width as a line; empty bins lie below every axis, so the line has no gaps."""
    centres = [width * (2 * (i + 0.5) / len(heights) - 1) for i in range(len(heights))]
    axis.plot(
        centres, [max(height, 1e-12) for height in heights], lw=1.4, label=label, color=COLOURS[layer], ls=_DASHES[layer]
    )  # fmt: skip


def _smooth(values: Sequence[float], reach: int = 2) -> list[float]:
    """Return the running mean over 2 reach + 1 readings, fewer at the ends."""
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def histograms(parts: Sequence[Numbers], path: Path, *, what: str) -> Path:
    """Draw the histograms of every layer: standard initialisation above, normalised below, as in figures 6 to 8."""
    found = parts[0]
    label = {
        "activations": "activation",
        "gradients": "derivative of the cost by a pre-activation, one image",
        "weight gradients": "derivative of the mean cost by a weight",
    }[what]
    first = 2 if what == "weight gradients" else 1
    with canvas(rows=2, columns=1, width=6.4, height=5.6) as (figure, axes):
        for row, weights in zip(axes, ("standard", "normalized"), strict=True):
            peaks: list[float] = []
            for layer, heights in enumerate(found[f"{weights} {what}"]):
                width = found[f"{weights} {what} widths"][layer]
                _outline(row[0], heights, width, layer=layer, label=f"layer {layer + first}")
                if what != "activations":
                    peaks.append(max(heights))
            row[0].set_title(f"tanh, {weights.replace('z', 's')} initialisation", loc="left")
            row[0].set_ylabel("density")
            if peaks:
                row[0].set_yscale("log")
                row[0].set_ylim(min(peaks) / 1e3, max(peaks) * 2.0)
        axes[1][0].set_xlabel(label)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        return store(figure, path)


def last_histograms(parts: Sequence[Numbers], path: Path, *, courses: Sequence[str]) -> Path:
    """Draw the histograms of the activations after the last update, one panel per configuration, as in figure 4."""
    found = parts[0]
    with canvas(rows=len(courses), columns=1, width=6.4, height=2.8 * len(courses)) as (figure, axes):
        for row, name in zip(axes, courses, strict=True):
            for layer, heights in enumerate(found[f"{name} course"]["histograms"]):
                _outline(row[0], heights, 1.0, layer=layer, label=f"layer {layer + 1}")
            row[0].set_title(f"{_TITLES[name]}, after {found['updates'][-1]:,} updates", loc="left")
            row[0].set_ylabel("density")
            row[0].set_yscale("log")
            row[0].set_ylim(bottom=3e-3)
        axes[-1][0].set_xlabel("activation")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        return store(figure, path)


def percentiles(parts: Sequence[Numbers], path: Path, *, courses: Sequence[str]) -> Path:
    """Draw 98th percentiles (markers alone) and deviations (lines) of the activations over the updates: figures 3 and 10."""
    found = parts[0]
    with canvas(rows=len(courses), columns=1, width=6.4, height=0.6 + 2.9 * len(courses)) as (figure, axes):
        for row, name in zip(axes, courses, strict=True):
            read, axis = found[f"{name} course"], row[0]
            for layer, (tops, spreads) in enumerate(
                zip(zip(*read["percentiles"], strict=True), zip(*read["deviations"], strict=True), strict=True)
            ):
                looks = {"color": COLOURS[layer], "marker": MARKS[layer], "ms": 3.0}
                axis.plot(read["updates"], tops, ls="", **looks)
                axis.plot(read["updates"], spreads, lw=1.2, label=f"layer {layer + 1}", **looks)
            axis.axhline(1.0, color="#888888", lw=0.6, ls=":")
            axis.set_ylim(0.0, 1.05)
            thousands(axis.xaxis)
            axis.set_title(_TITLES[name], loc="left")
            axis.set_ylabel("98th percentile of |activation|\n(markers), deviation (lines)", fontsize=8)
        axes[-1][0].set_xlabel("updates (batches of 10, online)")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        return store(figure, path)


def weight_gradients(parts: Sequence[Numbers], path: Path, *, courses: Sequence[str]) -> Path:
    """Draw the size of each layer's weight gradients over the updates, one panel per initialisation, as in figure 9."""
    found = parts[0]
    with canvas(rows=len(courses), columns=1, width=6.4, height=0.6 + 2.7 * len(courses)) as (figure, axes):
        for row, name in zip(axes, courses, strict=True):
            read, axis = found[f"{name} course"], row[0]
            for layer, sizes in enumerate(zip(*read["weight gradients"], strict=True)):
                axis.plot(read["updates"], sizes, ls="", marker=MARKS[layer], ms=2.0, alpha=0.35, color=COLOURS[layer])
                axis.plot(
                    read["updates"], _smooth(sizes, 4), color=COLOURS[layer], ls=_DASHES[layer], lw=1.6,
                    label=f"layer {layer + 1}",
                )  # fmt: skip
            axis.set_yscale("log")
            axis.yaxis.set_minor_formatter(
                lambda value, _: f"{value:.0e}".replace("e-0", "e-") if few_digits(value) else ""
            )
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
            thousands(axis.xaxis)
            axis.set_title(f"{_TITLES[name]}; lines: running mean of 9 readings (points)", loc="left", fontsize=9)
            axis.set_ylabel("rms of d cost / d weight")
        axes[-1][0].set_xlabel("updates (batches of 10, online)")
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        return store(figure, path)


def error_curves(parts: Sequence[Numbers], path: Path, *, theirs: Mapping[str, float]) -> Path:
    """Draw test error over updates, one curve per configuration, with the paper's final error in the legend.

    The line is the mean of the seeds, each smoothed over five readings, the band their range.
    """
    found = parts[0]
    with canvas(rows=1, columns=1, width=6.4, height=4.2) as (figure, axes):
        axis = axes[0][0]
        for index, (name, final) in enumerate(theirs.items()):
            every = [_smooth([100 * error for error in part[f"{name} course"]["errors"]]) for part in parts]
            means = [sum(each) / len(each) for each in zip(*every, strict=True)]
            ours = sum(100 * part[name] for part in parts) / len(parts)
            label = f"{name}: ours {ours:.1f} %, paper's end {final:.1f} %"
            axis.plot(found["updates"], means, color=COLOURS[index], ls=_DASHES[index], lw=1.6, label=label)
            low, high = ([pick(each) for each in zip(*every, strict=True)] for pick in (min, max))
            axis.fill_between(found["updates"], low, high, color=COLOURS[index], alpha=0.2, lw=0)
        axis.axhline(100 * 5 / 6, color="#888888", lw=0.8, ls=":", label="chance")
        thousands(axis.xaxis)
        axis.set_xlabel("updates (batches of 10, online)")
        axis.set_ylabel("test error, %")
        width = found["width"]
        smaller = " (paper: 1,000 units, 5 million updates)" if width < 1000 else ""
        title = f"Shapeset-3x2, five layers of {width:,} units{smaller}"
        seeds = (
            f"{len(parts)} seeds: mean and range"
            if len(parts) > 1
            else "one seed; by chance alone two rates on 3,000 images differ by about 1 point"
        )
        axis.set_title(f"{title}\n{seeds}", loc="left", fontsize=9)
        figure.legend(loc="outside lower center", frameon=False, ncols=2, fontsize=8)
        return store(figure, path)


def groups(parts: Sequence[Numbers], path: Path) -> Path:
    """Draw table 1: what does not differ from the best of its column at p = 0.005 is bold; ours beside theirs."""
    printed, ours = parts
    columns: dict[str, tuple[Mapping[str, float], Sequence[str]]] = {
        f"Shapeset-3x2\nours, {ours['updates'][-1]:,} updates": (ours["column"], ours["best group"])
    }
    for dataset, column in printed["columns"].items():
        columns[f"{dataset}\npaper"] = (column, printed[f"{dataset} best group"])
    rows = list(printed["columns"]["MNIST"])
    with canvas(rows=1, columns=1, width=7.6, height=2.4) as (figure, axes):
        axis = axes[0][0]
        axis.set_axis_off()
        cells = [[f"{column[name]:.2f}" for column, _ in columns.values()] for name in rows]
        drawn = axis.table(
            cells, rowLabels=rows, colLabels=list(columns), loc="center", cellLoc="center", edges="horizontal"
        )
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(8)
        drawn.scale(1.0, 1.5)
        for (row, column), cell in drawn.get_celld().items():
            cell.set_linewidth(0.6)
            if row == 0:
                cell.set_height(1.5 * cell.get_height())
            elif column >= 0 and rows[row - 1] in list(columns.values())[column][1]:
                cell.set_text_props(weight="bold")
        axis.set_title(
            "Test error in %; bold: as good as the best of the column (two proportions, p = 0.005)",
            loc="left",
            fontsize=9,
        )
        return store(figure, path)
