"""Phase diagrams of trained networks: accuracy over initial scale and depth, with theory's line and depth on them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from photic.records.sweeps import Sweep, SweepPoint
from photic.reports.canvas import canvas, store

Panel = tuple[str, int, str, float]


def panel_of(point: SweepPoint) -> Panel:
    """Return what one panel has in common: activation, width, optimizer, learning rate."""
    return (point.activation, point.width, point.optimizer, point.learning_rate)


def draw_sweep(sweep: Sweep, path: Path) -> Path:
    """Draw one panel for each activation, width and optimizer.

    Colour is the held-back accuracy, the mean over seeds; the black line is six depth scales of the correlation, the
    dashed one the critical weight variance.

    Raises:
        ModuleNotFoundError: without matplotlib.
        ValueError: if there is no point.
    """
    if not sweep.points:
        raise ValueError("the sweep has no point to draw")
    panels = list(dict.fromkeys(panel_of(point) for point in sweep.points))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with canvas(rows=rows, columns=columns, width=1.2 + 4.6 * columns, height=0.6 + 3.4 * rows) as (figure, axes):
        cells = list(itertools.chain.from_iterable(axes))
        mesh = None
        for cell, panel in zip(cells, panels, strict=False):
            mesh = _panel(cell, sweep, panel)
        for cell in cells[len(panels) :]:
            cell.set_axis_off()
        figure.colorbar(mesh, ax=cells, label=f"held-back accuracy after {sweep.steps} steps", shrink=0.9)
        return store(figure, path)


def _panel(axis: Any, sweep: Sweep, panel: Panel) -> Any:
    members = [point for point in sweep.points if panel_of(point) == panel]
    xs = sorted({point.weight_variance for point in members})
    ys = sorted({point.depth for point in members})
    sums: dict[tuple[int, float], list[float]] = {}
    for point in members:
        sums.setdefault((point.depth, point.weight_variance), []).append(point.accuracy)
    table = [[sum(sums[y, x]) / len(sums[y, x]) for x in xs] for y in ys]
    mesh = axis.pcolormesh(_edges(xs), _edges(ys), table, cmap="viridis", vmin=0.0, vmax=1.0, rasterized=True)
    theory = [scale for scale in sweep.theory if scale.activation == panel[0]]
    depths = [min(6.0 * scale.correlation_scale, 1e4) for scale in theory]
    axis.plot([s.weight_variance for s in theory], depths, color="white", lw=3.2)
    axis.plot([s.weight_variance for s in theory], depths, color="black", lw=1.8, label="6 depth scales")
    if _edges(xs)[0] < sweep.critical.get(panel[0], 0.0) < _edges(xs)[-1]:
        axis.axvline(sweep.critical[panel[0]], color="white", lw=2.6)
        axis.axvline(sweep.critical[panel[0]], color="black", lw=1.4, ls="--", label="critical")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(_edges(xs)[0], _edges(xs)[-1])
    axis.set_ylim(_edges(ys)[0], _edges(ys)[-1])
    axis.set_yticks(ys, [str(y) for y in ys], minor=False)
    axis.set_yticks([], minor=True)
    ticks = [x for x in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128) if xs[0] <= x <= xs[-1]]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("fan_in Var[w]")
    axis.set_ylabel("hidden layers")
    axis.set_title(f"{panel[0]}, width {panel[1]}, {panel[2]} {panel[3]:g}", loc="left")
    axis.legend(loc="upper right", fontsize=7, framealpha=0.85)
    return mesh


def _edges(values: list[Any]) -> list[float]:
    """Return the borders of cells around values on a logarithmic axis."""
    if len(values) == 1:
        return [values[0] / 1.4, values[0] * 1.4]
    middles = [(a * b) ** 0.5 for a, b in itertools.pairwise(values)]
    return [values[0] ** 2 / middles[0], *middles, values[-1] ** 2 / middles[-1]]


def shares(sweep: Sweep) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """Return for each panel: its name, (learned, all) of depths up to 6 depth scales, and (learned, all) beyond 12."""
    found: list[tuple[str, tuple[int, int], tuple[int, int]]] = []
    for panel in dict.fromkeys(panel_of(point) for point in sweep.points):
        scales = [scale for scale in sweep.theory if scale.activation == panel[0]]
        near, far = list[bool](), list[bool]()
        for point in sweep.points:
            if panel_of(point) != panel:
                continue
            scale = min(scales, key=lambda s: abs(s.weight_variance - point.weight_variance)).correlation_scale
            if point.depth <= 6.0 * scale:
                near.append(point.accuracy > 0.5)
            elif point.depth > 12.0 * scale:
                far.append(point.accuracy > 0.5)
        name = f"{panel[0]}, width {panel[1]}, {panel[2]} {panel[3]:g}"
        found.append((name, (sum(near), len(near)), (sum(far), len(far))))
    return found
