"""Drawings: the forms in which the papers show their numbers, drawn from ours."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photic.lab.claims import Numbers
from photic.reports.canvas import canvas, store

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "x")


def thousands(axis: Any) -> None:
    """Write the ticks of an axis with commas: 60,000."""
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def few_digits(value: float) -> str:
    """Return a tick of a short logarithmic axis: 1, 2, 3 and 5 of each decade, which never touch."""
    first = round(value / 10.0 ** math.floor(math.log10(value) + 1e-9), 6)
    return f"{value:g}" if first in (1.0, 2.0, 3.0, 5.0) else ""


def layers_over_time(parts: Sequence[Numbers], path: Path) -> Path:
    """Draw mean and deviation of each layer's activations over the updates."""
    found, updates = parts[0], f"{parts[0]['updates'][-1]:,} updates"
    apart = 0.14 * (found["updates"][1] - found["updates"][0])  # else the bars of layers of one mean hide each other
    with canvas(rows=1, columns=1, width=6.4, height=3.8) as (figure, axes):
        axis = axes[0][0]
        for layer, (means, spreads) in enumerate(
            zip(zip(*found["means"], strict=True), zip(*found["deviations"], strict=True), strict=True)
        ):
            places = [update + (layer - 1.5) * apart for update in found["updates"]]
            axis.errorbar(
                places, means, yerr=spreads, color=COLOURS[layer], marker=MARKS[layer], ms=3.5, lw=1.2,
                elinewidth=0.6, capsize=2, label=f"layer {layer + 1}",
            )  # fmt: skip
        axis.axhline(0.5, color="#888888", lw=0.6, ls=":")
        thousands(axis.xaxis)
        axis.set_xlabel("updates (batches of 10; bars side by side)")
        axis.set_ylabel("activation: mean and deviation")
        axis.set_title(f"sigmoid, four hidden layers, {updates}: the top one is pushed to 0", loc="left")
        figure.legend(loc="outside lower center", frameon=False, ncols=4)
        return store(figure, path)


def surfaces(parts: Sequence[Numbers], path: Path) -> Path:
    """Draw the two cost surfaces beside each other."""
    found = parts[0]
    with canvas(rows=1, columns=2, width=9.0, height=3.8) as (figure, axes):
        for axis, name in zip(axes[0], ("cross-entropy", "quadratic"), strict=True):
            mesh = axis.contourf(found["axis"], found["axis"], found[name], levels=24, cmap="viridis")
            from matplotlib.ticker import MaxNLocator

            figure.colorbar(mesh, ax=axis, label="cost", ticks=MaxNLocator(6))
            axis.set_title(f"{name}: {100 * found[f'{name} flat']:.0f} % nearly flat", loc="left")
            axis.set_xlabel("weight of layer 2")
        axes[0][0].set_ylabel("weight of layer 1")
        figure.suptitle("nearly flat: |gradient| below 1 % of its largest", fontsize=9, x=0.01, ha="left")
        return store(figure, path)


def curves_over_layers(
    parts: Sequence[Numbers],
    path: Path,
    *,
    lines: Sequence[tuple[str, str]],
    title: str,
    x: str,
    y: str,
    log: bool = True,
    log_x: bool = False,
) -> Path:
    """Draw named lists over their index, or over the list `x` or `NAME x` names; dashed where the label says theory.

    Of several parts, one a seed, the line is the median and the band goes from the smallest to the largest.
    """
    with canvas(rows=1, columns=1, width=6.4, height=4.0) as (figure, axes):
        axis = axes[0][0]
        dashes: dict[str, str] = {}
        for index, (name, label) in enumerate(lines):
            found = parts[0]
            every = [part[name] for part in parts]
            values = [statistics.median(each) for each in zip(*every, strict=True)]
            xs = found.get(f"{name} x", found.get("x", list(range(1, len(values) + 1))))
            theory = "theory" in label
            bare = label.lstrip("_")
            shown = "theory" if bare == "theory" or bare.startswith("theory, ") or bare.endswith(", theory") else bare
            dash = dashes.get(shown) or (("--", ":", "-.")[len(dashes) % 3] if theory else "-")
            entry = f"_{shown}" if shown in dashes else shown  # one entry in the legend for all lines of a name
            dashes |= {shown: dash} if theory else {}
            colour = "#444444" if theory else COLOURS[index % 7]
            axis.plot(
                xs, values, color=colour, ls=dash, lw=1.4, ms=3.5, marker=None if theory else MARKS[index % 7],
                markevery=max(1, len(values) // 20), label=entry,
            )  # fmt: skip
            if len(parts) > 1 and not theory:
                low, high = ([pick(each) for each in zip(*every, strict=True)] for pick in (min, max))
                axis.fill_between(xs, low, high, color=colour, alpha=0.18, lw=0)
        if log_x:
            axis.set_xscale("log")
            axis.set_xticks(parts[0]["x"], [f"{value:g}" for value in parts[0]["x"]])
            axis.set_xticks([], minor=True)
        elif all(float(value).is_integer() for value in parts[0].get("x", [])):
            axis.xaxis.get_major_locator().set_params(integer=True)  # there is no layer 2.5
            if axis.get_xlim()[1] >= 10_000.0:
                thousands(axis.xaxis)
        if log:
            axis.set_yscale("log")
            low, high = axis.get_ylim()
            if high < 100.0 * low:
                axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axis.yaxis.set_minor_formatter(lambda value, _: few_digits(value))
        axis.set_xlabel(x)
        axis.set_ylabel(y)
        seeds = f"\nmedian (line) and range (band) of {len(parts)} seeds" if len(parts) > 1 else ""
        axis.set_title(title + seeds, loc="left", fontsize=9)
        longest = max(len(label) for _, label in lines)
        figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=3 if longest < 28 else 2)
        return store(figure, path)
