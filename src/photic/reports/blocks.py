"""Blocks and time steps for the terminal: hundreds of operations folded into what a person can read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from photic.records.profiles import Block, Profile
from photic.records.runs import Run
from photic.reports.bars import bar, decades, sparkline

FEWEST_BLOCKS, MOST_BLOCKS = 4, 40
MOST_PARTS = 5  # of a join: a recurrence hands its memory to every step


@dataclass(frozen=True)
class View:
    """What of a record is shown.

    Attributes:
        everything: every operation.
        block: only what runs inside this module.
    """

    everything: bool = False
    block: str = ""

    def holds(self, module: str) -> bool:
        """Whether a module lies inside the chosen block."""
        return not self.block or module == self.block or module.startswith(f"{self.block}.")


def unfolded(blocks: tuple[Block, ...], *, block: str = "", most: int = MOST_BLOCKS) -> list[Block]:
    """Return blocks to show, one beside the other: opened level by level while they fit into `most` lines.

    A block with a single child gives way to it: `model.encoder` says no more than `model.encoder.layers`.
    """
    by_path = {item.path: item for item in blocks}
    if block not in by_path:
        return []
    shown = [by_path[block]]
    while True:
        opened = [child for item in shown for child in (_children(item, by_path) or [item])]
        if len(opened) > most or opened == shown:
            return shown
        shown = opened


def _children(item: Block, by_path: dict[str, Block]) -> list[Block]:
    """Return what a block opens into; nothing where most of it, of the path or of its operations, lies between."""
    below = [by_path[path] for path in item.children]
    crossed = item.gain is None or any(child.gain is not None for child in below)
    return below if crossed and 2 * sum(child.operations for child in below) > item.operations else []


def show_blocks(profile: Profile, console: Console, view: View, *, ascii_only: bool = False) -> bool:
    """Print one line per block: what it does to the gradient, and what arrives at it. False: there are none."""
    shown = unfolded(profile.blocks, block=view.block)
    if len(shown) < FEWEST_BLOCKS:
        return False
    span = decades([item.transport for item in shown])
    table = Table(box=None, padding=(0, 1), header_style="dim", title=f"blocks, gradient relative to {profile.top}")
    for title in ("block", "operations", "layers", "signal rms", "gradient", "", "gain", "share"):
        table.add_column(title, justify="left" if title in ("block", "") else "right", overflow="fold")
    for item in shown:
        table.add_row(
            escape(item.path),
            str(item.operations),
            str(item.layers),
            "" if item.signal_rms is None else f"{item.signal_rms:.3g}",
            "none" if item.transport is None else f"{item.transport:.2e}",
            bar(item.transport, span, width=14, ascii_only=ascii_only),
            "" if item.gain is None else f"{item.gain:.3g}",
            "" if item.gain is None else f"{100.0 * item.share:.1f} %",
        )
    console.print(table)
    deeper = next((item.path for item in shown if item.operations > 2), "")
    if deeper:
        console.print(Text(f"--block {deeper} shows what is inside one, --all every operation", style="dim"))
    return True


def show_joins(profile: Profile, console: Console, view: View, *, most: int = 12) -> None:
    """Print what the consumers of shared values pass back: skip and branch of a residual block, with their angle."""
    joins = [line for line in profile.budget if line.parts and view.holds(line.module)]
    if not joins or len(joins) > most:
        joins = [] if not joins else [joins[0], *joins[1 : -1 : max(1, len(joins) // most)], joins[-1]]
    for line in joins:
        ranked = sorted(line.parts, key=lambda part: (not part.on_path, -part.norm))
        parts = [
            f"{'skip' if part.on_path else part.site} {part.norm:.3g}"
            + (f" ({100.0 * part.share:.1f} %)" if part.share is not None else "")
            for part in ranked[:MOST_PARTS]
        ] + ([f"{len(ranked) - MOST_PARTS} smaller ones"] if len(ranked) > MOST_PARTS else [])
        branch = next((part.cosine for part in ranked if not part.on_path), None)
        angle = "" if branch is None else f", cosine of the branch {branch:.2f}"
        console.print(Text(f"{line.site}: {' + '.join(parts)} -> x {line.gain:.3g}{angle}", style="dim"))


def show_times(run: Run, console: Console, view: View, *, ascii_only: bool = False) -> None:
    """Print for each fused recurrent layer what arrives at the input of its time steps."""
    if not run.steps:
        return
    for site in run.sites:
        times = run.steps[0].sites[site.order].times
        if times is None or not times.gradient_norms or not view.holds(site.module):
            continue
        norms = times.gradient_norms
        logs = [math.log10(norm) if norm > 0.0 else None for norm in norms]
        floor = min((log for log in logs if log is not None), default=0.0) - 1.0
        line = sparkline([floor if log is None else log for log in logs], ascii_only=ascii_only)
        text = f"{site.name or '(root)'}: gradient along {len(norms)} time steps, first {norms[0]:.2e}, last {norms[-1]:.2e} "
        console.print(Text(text + line))
