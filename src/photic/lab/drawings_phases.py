"""Drawings of trained networks over initial scale and depth: a paper's figure, and the picture of a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photic.lab.claims import Numbers
from photic.records.sweeps import Sweep
from photic.reports.canvas import canvas, store
from photic.reports.sweeps import Panel, panel_of

# Diverged is hatched, chance and below is one colour, and what was learned gets the whole scale: light is good, in grey too.
_CHANCE, _MAP, _DEEPEST = 0.1, "cividis", 1e4
_NOISE = 0.035  # two standard errors of chance on the 297 held-back digits: sqrt(0.1 x 0.9 / 297) = 1.7 points


def trained_depths(parts: Sequence[Numbers], path: Path, *, title: str, critical: float) -> Path:
    """Draw the accuracy over fan_in Var[w] and depth, the mean over the parts, with six depth scales on it."""
    found = parts[0]
    xs, ys = found["variances"], found["depths"]
    tables = [part["accuracies"] for part in parts]
    table = [[sum(t[i][j] for t in tables) / len(tables) for j in range(len(xs))] for i in range(len(ys))]
    with canvas(rows=1, columns=1, width=6.4, height=4.0) as (figure, axes):
        axis = axes[0][0]
        mesh = cells(axis, xs, ys, table, floor=_CHANCE + _NOISE)
        theory(axis, xs, found["six scales"], critical)
        axes_of(axis, xs, ys)
        axis.set_title(
            title + f"\nmean of {len(parts)} seeds; black: within the noise of chance", loc="left", fontsize=9
        )
        figure.colorbar(mesh, ax=axis, label="held-back accuracy", extend="min")
        figure.legend(loc="outside lower center", frameon=False, ncols=3, fontsize=8)
        return store(figure, path)


def draw_sweep(sweep: Sweep, path: Path) -> Path:
    """Draw one panel for each activation, width and optimizer.

    Colour is the held-back accuracy, the mean over seeds; black cells lie within two standard errors of chance, hatched ones are
    networks that all diverged. The solid line is six depth scales of the correlation, the dashed one the critical weight variance.

    Raises:
        ModuleNotFoundError: without matplotlib.
        ValueError: if there is no point.
    """
    if not sweep.points:
        raise ValueError("the sweep has no point to draw")
    from matplotlib.patches import Patch

    panels = list(dict.fromkeys(panel_of(point) for point in sweep.points))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with canvas(rows=rows, columns=columns, width=1.4 + 4.4 * columns, height=1.2 + 3.2 * rows) as (figure, axes):
        places = list(itertools.chain.from_iterable(axes))
        mesh = None
        for place, panel in zip(places, panels, strict=False):
            mesh = _panel(place, sweep, panel)
        for place in places[len(panels) :]:
            place.set_axis_off()
        seeds = len({point.seed for point in sweep.points})
        biases = ", ".join(f"{bias:g}" for bias in sorted({point.bias_variance for point in sweep.points}))
        label = f"held-back accuracy after {sweep.steps} steps"
        figure.colorbar(mesh, ax=places, label=label, shrink=0.9, extend="min")
        told = f"{sweep.task}, batches of {sweep.examples}, Var[b] = {biases}, {seeds} seed{'s' if seeds > 1 else ''} a cell"
        figure.suptitle(told, fontsize=9, x=0.01, ha="left")
        entries: dict[str, Any] = {}
        for place in places[: len(panels)]:
            handles, labels = place.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
        entries |= {"at chance": Patch(facecolor="black")}
        if any(point.accuracy == 0.0 for point in sweep.points):
            entries |= {"diverged": Patch(facecolor="white", edgecolor="#777777", hatch="////", lw=0)}
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", frameon=False, ncols=4, fontsize=8)
        return store(figure, path)


def cells(
    axis: Any, xs: Sequence[float], ys: Sequence[float], table: Sequence[Sequence[float]], *, floor: float
) -> Any:
    """Draw a table over two logarithmic axes and return the mesh; what diverged (accuracy 0) is hatched, below `floor` is black."""
    import matplotlib as mpl
    from matplotlib.patches import Rectangle

    colours = mpl.colormaps[_MAP].with_extremes(under="#000000")
    mesh = axis.pcolormesh(
        edges(xs), edges(ys), table, cmap=colours, vmin=floor, vmax=1.0, rasterized=True
    )  # fmt: skip
    for row, low, high in zip(table, edges(ys), edges(ys)[1:], strict=False):
        for value, left, right in zip(row, edges(xs), edges(xs)[1:], strict=False):
            if value == 0.0:
                corner, width, height = (left, low), right - left, high - low
                patch = Rectangle(
                    corner, width, height, facecolor="white", edgecolor="#777777", hatch="////", lw=0, label="_"
                )  # fmt: skip
                axis.add_patch(patch)
    return mesh


def theory(axis: Any, xs: Sequence[float], depths: Sequence[float], critical: float | None) -> None:
    """Draw six depth scales over the weight variance, and the critical one."""
    shown = [min(depth, _DEEPEST) for depth in depths]
    axis.plot(xs, shown, color="white", lw=3.4)
    axis.plot(xs, shown, color="black", lw=1.8, label="theory: 6 depth scales")
    if critical is not None:
        axis.axvline(critical, color="white", lw=3.0)
        axis.axvline(critical, color="black", lw=1.4, ls="--", label="theory: critical Var[w]")


def axes_of(axis: Any, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Set two logarithmic axes with ticks at the values that were trained."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(edges(xs)[0], edges(xs)[-1])
    axis.set_ylim(edges(ys)[0], edges(ys)[-1])
    axis.set_yticks(ys, [f"{y:g}" for y in ys], minor=False)
    axis.set_yticks([], minor=True)
    ticks = [x for x in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128) if xs[0] <= x <= xs[-1]]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("fan_in Var[w]")
    axis.set_ylabel("hidden layers")


def edges(values: Sequence[float]) -> list[float]:
    """Return the borders of cells around values on a logarithmic axis."""
    if len(values) == 1:
        return [values[0] / 1.4, values[0] * 1.4]
    middles = [(a * b) ** 0.5 for a, b in itertools.pairwise(values)]
    return [values[0] ** 2 / middles[0], *middles, values[-1] ** 2 / middles[-1]]


def _panel(axis: Any, sweep: Sweep, panel: Panel) -> Any:
    members = [point for point in sweep.points if panel_of(point) == panel]
    xs = sorted({point.weight_variance for point in members})
    ys = sorted({point.depth for point in members})
    sums: dict[tuple[int, float], list[float]] = {}
    for point in members:
        sums.setdefault((point.depth, point.weight_variance), []).append(point.accuracy)
    table = [[sum(sums[y, x]) / len(sums[y, x]) for x in xs] for y in ys]
    mesh = cells(axis, xs, ys, table, floor=_CHANCE + _NOISE)
    scales = [scale for scale in sweep.theory if scale.activation == panel[0]]
    critical = sweep.critical.get(panel[0])
    if critical is not None and not edges(xs)[0] < critical < edges(xs)[-1]:
        critical = None
    theory(axis, [s.weight_variance for s in scales], [6.0 * s.correlation_scale for s in scales], critical)
    axes_of(axis, xs, ys)
    none = "" if critical is not None else "; no stable critical point"
    axis.set_title(f"{panel[0]}, width {panel[1]}, {panel[2]} at {panel[3]:g}{none}", loc="left", fontsize=9)
    return mesh
