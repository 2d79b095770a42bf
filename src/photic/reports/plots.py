"""Plots of the theory: the activation atlas, phase diagrams, and the predicted profile of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photic.records.atlas import ActivationAtlas, PhaseDiagram
from photic.records.predictions import Prediction
from photic.reports.canvas import canvas, store

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHADE = "#F0E442"


def draw_atlas(atlases: Sequence[ActivationAtlas], path: Path) -> Path:
    """Draw one row for each activation: its curve with N(0, 1) on it, its slope, its gains against q.

    Raises:
        ModuleNotFoundError: without matplotlib.
        ValueError: if there is nothing to draw.
    """
    if not atlases:
        raise ValueError("expected at least one activation to draw")
    with canvas(rows=len(atlases), columns=3, width=13.0, height=3.1 * len(atlases)) as (figure, axes):
        for row, atlas in zip(axes, atlases, strict=True):
            _curve(row[0], atlas)
            _slope(row[1], atlas)
            _gains(row[2], atlas)
        return store(figure, path)


def _flat(axis: Any, atlas: ActivationAtlas) -> None:
    low, high = atlas.x[0], atlas.x[-1]
    for start, stop in atlas.flat_intervals:
        if stop > low and start < high:
            axis.axvspan(max(start, low), min(stop, high), color=_SHADE, alpha=0.35, lw=0)


def _curve(axis: Any, atlas: ActivationAtlas) -> None:
    _flat(axis, atlas)
    top, bottom = max(*atlas.value, 1.0), min(*atlas.value, 0.0)
    bell = [bottom + (top - bottom) * 0.45 * math.exp(-x * x / 2.0) for x in atlas.x]
    axis.fill_between(atlas.x, bottom, bell, color="#BBBBBB", alpha=0.6, lw=0, label="N(0, 1)")
    axis.plot(atlas.x, atlas.value, color=_COLOURS[0], lw=2)
    axis.axhline(0.0, color="#888888", lw=0.6)
    spread = f"{atlas.low:.3g} to {atlas.high:.3g}"
    axis.set_title(f"{atlas.name}: from {spread}", loc="left")
    axis.set_xlabel("pre-activation; shaded: slope below 1 % of its largest")
    axis.set_ylabel("value")


def _slope(axis: Any, atlas: ActivationAtlas) -> None:
    _flat(axis, atlas)
    axis.plot(atlas.x, atlas.slope, color=_COLOURS[1], lw=2)
    axis.axhline(1.0, color="#888888", lw=0.6, ls=":")
    axis.axhline(0.0, color="#888888", lw=0.6)
    axis.set_title(f"slope, at most {max(map(abs, atlas.slope)):.3g}", loc="left")
    axis.set_xlabel("pre-activation")


def _gains(axis: Any, atlas: ActivationAtlas) -> None:
    axis.loglog(atlas.lengths, atlas.gradient_gains, color=_COLOURS[1], lw=2, label="gradient norm, sqrt E phi'^2")
    axis.loglog(atlas.lengths, atlas.signal_gains, color=_COLOURS[0], lw=2, ls="--", label="signal, sqrt(E phi^2 / q)")
    if any(share > 1e-4 for share in atlas.flat_shares):
        shares = [max(share, 1e-4) for share in atlas.flat_shares]
        axis.loglog(atlas.lengths, shares, color="#888888", lw=1, ls=":", label="share in the flat parts")
    axis.set_title("gain of a normal signal", loc="left")
    axis.set_xlabel("q, mean squared pre-activation")
    axis.legend(frameon=False, fontsize=7, loc="lower left")


def draw_phase(diagram: PhaseDiagram, path: Path) -> Path:
    """Draw chi over the variances, the critical line, and six depth scales of the gradient."""
    with canvas(rows=1, columns=1, width=6.4, height=4.6) as (figure, axes):
        axis = axes[0][0]
        logs = [[math.log10(max(gain, 1e-6)) for gain in row] for row in diagram.gains]
        x, y = diagram.weight_variances, diagram.bias_variances
        mesh = axis.pcolormesh(x, y, logs, cmap="PuOr", vmin=-1.0, vmax=1.0, shading="nearest", rasterized=True)
        depths = [[6.0 / max(abs(math.log(max(gain, 1e-30))), 1e-3) for gain in row] for row in diagram.gains]
        lines = axis.contour(x, y, depths, levels=[10, 30, 100], colors="#333333", linewidths=0.8)
        axis.clabel(lines, fmt="%d layers", fontsize=7)
        for holds, style in ((True, "-"), (False, ":")):
            part = [point for point in diagram.line if point.holds is holds]
            if part:
                axis.plot(
                    [p.weight_variance for p in part], [p.bias_variance for p in part],
                    color="black", lw=2, ls=style, marker="o" if len(part) == 1 else None,
                    label="critical line" if holds else "chi = 1, length unstable",
                )  # fmt: skip
        if diagram.line:
            axis.legend(frameon=True, fontsize=8)
        figure.colorbar(mesh, ax=axis, label="log10 chi: < 0 vanishes, > 0 explodes")
        axis.set_xlabel("fan_in Var[w]")
        axis.set_ylabel("Var[b]")
        axis.set_title(f"deep {diagram.activation} networks; contours: six depth scales", loc="left")
        return store(figure, path)


def draw_prediction(prediction: Prediction, path: Path) -> Path:
    """Draw expected signal and transport along the network, with the band of its width."""
    known = [(i, site) for i, site in enumerate(prediction.sites) if site.signal_rms is not None]
    if not known:
        raise ValueError("theory predicts nothing of this network; `photic predict` says why, operation by operation")
    with canvas(rows=2, columns=1, width=9.0, height=5.6) as (figure, axes):
        signal, gradient = axes[0][0], axes[1][0]
        signal.semilogy([i for i, _ in known], [s.signal_rms or 0.0 for _, s in known], color=_COLOURS[0], lw=1.5)
        signal.set_ylabel("signal rms")
        reached = [(i, s) for i, s in known if s.transport and s.low and s.high]
        xs = [i for i, _ in reached]
        gradient.fill_between(
            xs, [s.low for _, s in reached], [s.high for _, s in reached], color="#BBBBBB", alpha=0.5, lw=0
        )
        gradient.semilogy(xs, [s.transport or 0.0 for _, s in reached], color=_COLOURS[1], lw=1.5)
        gradient.set_ylabel("|gradient| / |gradient at the top|")
        gradient.set_xlim(*signal.get_xlim())
        lowest = min(xs, default=len(prediction.sites) - 1)
        if lowest > known[0][0]:
            why = next((s.not_predicted for s in prediction.sites[lowest - 1 :: -1] if s.not_predicted), "")
            gradient.text(0.02, 0.9, f"below operation {lowest} not predicted: {why}", transform=gradient.transAxes)
        gradient.set_xlabel("operation, in order of execution; grey: three standard deviations at this width")
        signal.set_title("predicted by mean-field theory", loc="left")
        return store(figure, path)
