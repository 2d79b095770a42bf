"""Drawings: the forms in which the papers show their numbers, drawn from ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from photic.lab.claims import Numbers
from photic.reports.canvas import canvas, store

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "x")


def layers_over_time(parts: Sequence[Numbers], path: Path) -> Path:
    """Draw mean and deviation of each layer's activations over the updates."""
    found = parts[0]
    with canvas(rows=1, columns=1, width=6.4, height=3.8) as (figure, axes):
        axis = axes[0][0]
        for layer, (means, spreads) in enumerate(
            zip(zip(*found["means"], strict=True), zip(*found["deviations"], strict=True), strict=True)
        ):
            axis.errorbar(
                found["updates"], means, yerr=spreads, color=COLOURS[layer], marker=MARKS[layer], ms=3.5, lw=1.2,
                elinewidth=0.6, capsize=2, label=f"layer {layer + 1}",
            )  # fmt: skip
        axis.axhline(0.5, color="#888888", lw=0.6, ls=":")
        axis.set_xlabel("updates (batches of 10)")
        axis.set_ylabel("activation: mean and deviation")
        axis.set_title("sigmoid, four hidden layers: the top one is pushed to 0", loc="left")
        figure.legend(loc="outside lower center", frameon=False, ncols=4)
        return store(figure, path)


def surfaces(parts: Sequence[Numbers], path: Path) -> Path:
    """Draw the two cost surfaces beside each other."""
    found = parts[0]
    with canvas(rows=1, columns=2, width=9.0, height=3.8) as (figure, axes):
        for axis, name in zip(axes[0], ("cross-entropy", "quadratic"), strict=True):
            mesh = axis.contourf(found["axis"], found["axis"], found[name], levels=24, cmap="viridis")
            figure.colorbar(mesh, ax=axis)
            axis.set_title(f"{name}: {100 * found[f'{name} flat']:.0f} % nearly flat", loc="left")
            axis.set_xlabel("weight of layer 2")
        axes[0][0].set_ylabel("weight of layer 1")
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
) -> Path:
    """Draw named lists of the first part over their index, or over the list `x` names; dashed where the label says theory."""
    found = parts[0]
    with canvas(rows=1, columns=1, width=6.4, height=4.0) as (figure, axes):
        axis = axes[0][0]
        dashes: dict[str, str] = {}
        for index, (name, label) in enumerate(lines):
            values = found[name]
            xs = found.get(f"{name} x", found.get("x", list(range(1, len(values) + 1))))
            theory = "theory" in label
            bare = label.lstrip("_")
            shown = "theory" if bare == "theory" or bare.startswith("theory, ") or bare.endswith(", theory") else label
            dash = dashes.get(shown) or (("--", ":", "-.")[len(dashes) % 3] if theory else "-")
            entry = f"_{shown}" if shown in dashes else shown  # one entry in the legend for all lines of a name
            dashes |= {shown: dash} if theory else {}
            axis.plot(
                xs, values, color="#444444" if theory else COLOURS[index % 7], ls=dash, lw=1.4,
                marker=None if theory or len(values) > 40 else MARKS[index % 7], ms=3.5, label=entry,
            )  # fmt: skip
        if log:
            axis.set_yscale("log")
            low, high = axis.get_ylim()
            if high < 100.0 * low:
                axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
        axis.set_xlabel(x)
        axis.set_ylabel(y)
        axis.set_title(title, loc="left")
        figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=3)
        return store(figure, path)
