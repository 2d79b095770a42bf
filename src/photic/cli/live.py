"""A training on the terminal while it goes on: redrawn in place on a terminal, a line for every audit elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from photic.diagnosis.profile import depth_profile
from photic.records.findings import Finding
from photic.records.runs import Run
from photic.reports.bars import bar, decades, sparkline

if TYPE_CHECKING:
    from photic.probes.glances import Glance

_SECONDS = 0.5  # between two drawings; each is counted into the budget
_KEPT = 200  # readings of a layer that are remembered
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


def live_view(title: str) -> LiveView | LiveLines:
    """Return what shows a training on stderr as it goes on."""
    console = Console(stderr=True, highlight=False)
    return LiveView(title, console) if console.is_terminal else LiveLines()


class LiveLines:
    """One line for every audit."""

    def __enter__(self) -> LiveLines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def found(self, finding: Finding, step: int) -> None:
        """Print a finding."""
        _print(f"photic: step {step}: {finding.severity} {finding.problem}: {finding.reason}")

    def glanced(self, glance: Glance, step: int) -> None:
        """Glances are too many for lines."""

    def audited(self, run: Run) -> None:
        """Print how far the gradient reaches, and the layers in decades."""
        profile = depth_profile(run)
        if profile is None:
            return
        transports = [line.transport for line in profile.layers]
        span = decades(transports)
        picture = "".join(bar(value, span, width=1) for value in transports[:60])
        loss = run.steps[0].loss
        shown = "" if loss is None else f"loss {loss:.4g}  "
        _print(f"photic: step {run.steps[0].step}  {shown}{profile.reach}  |{picture}|")


def _print(text: str) -> None:
    from photic.cli.output import console

    console().print(text, markup=False)


class LiveView:
    """The worst layers first, with the course of their gradients, and what was found.

    Drawn from within the sampled steps, so no thread takes time from the training, and what it costs is counted.
    """

    def __init__(self, title: str, console: Console) -> None:
        self.title, self.console = title, console
        self.step = 0
        self.reach = ""
        self.losses: deque[float] = deque(maxlen=_KEPT)
        self.course: dict[str, deque[float]] = {}  # gradient norm of every module that holds weights, or of every layer
        self.transport: dict[str, float] = {}
        self.updates: dict[str, float] = {}
        self.findings: list[tuple[int, Finding]] = []
        self._drawn = 0.0
        self._live: Live | None = None

    def __enter__(self) -> LiveView:
        theirs = sys.stdout.isatty()  # what the script prints on the same terminal goes above the view
        self._live = Live(
            self.picture(),
            console=self.console,
            auto_refresh=False,
            redirect_stdout=theirs,
            redirect_stderr=sys.stderr.isatty(),
            vertical_overflow="crop",
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self.picture(), refresh=True)
            self._live.stop()
            self._live = None

    def found(self, finding: Finding, step: int) -> None:
        """Show a finding from now on."""
        self.findings.append((step, finding))
        self._draw(now=True)

    def glanced(self, glance: Glance, step: int) -> None:
        """Take what a glance read."""
        self.step = step
        for name, read in zip(glance.names, glance.moments(1), strict=True):
            if read is not None and name in self.transport:
                self._add(name, read.norm)
        self._draw()

    def audited(self, run: Run) -> None:
        """Take what an audit read."""
        step = run.steps[0]
        self.step = step.step
        if step.loss is not None:
            self.losses.append(step.loss)
        profile = depth_profile(run)
        if profile is not None:
            self.reach = profile.reach
            norms = {site.name: r.gradient for site, r in zip(run.sites, step.sites, strict=True)}
            self.transport = {
                line.site: math.nan if line.transport is None else line.transport for line in profile.layers
            }
            for line in profile.layers:
                reading = norms.get(line.site)
                self._add(line.site, math.nan if reading is None else reading.norm)
                if line.update_ratio is not None:
                    self.updates[line.site] = line.update_ratio
        self._draw(now=True)

    def _add(self, name: str, norm: float) -> None:
        self.course.setdefault(name, deque(maxlen=_KEPT)).append(norm)

    def _draw(self, *, now: bool = False) -> None:
        if self._live is None or (not now and time.monotonic() - self._drawn < _SECONDS):
            return
        self._live.update(self.picture(), refresh=True)
        self._drawn = time.monotonic()

    def picture(self) -> Any:
        """Return all of it, at most as high as the terminal."""
        ascii_only = not self.console.encoding.lower().startswith("utf")
        losses = list(self.losses)
        head = Text.assemble(
            (f"photic  {self.title}", "bold"),
            f"  step {self.step}",
            f"  loss {losses[-1]:.4g} {sparkline(losses, ascii_only=ascii_only)}" if losses else "",
            f"  {self.reach}" if self.reach else "  waiting for the first audit",
        )
        parts: list[Any] = [head]
        rows = max(3, self.console.size.height - 6 - 2 * len(self.findings[-4:]))
        worst = sorted(self.transport, key=lambda name: (self.transport[name] > 0.0, self.transport[name]))
        if worst:
            parts.append(self._table(worst, rows, ascii_only))
        for step, finding in self.findings[-4:]:
            place = f" at {finding.sites[0]}" if finding.sites else ""
            text = Text(
                f"step {step}: {finding.severity} {finding.problem}{place}: {finding.reason}", overflow="ellipsis"
            )
            text.no_wrap = True
            text.stylize(_COLOURS[finding.severity], 0, len(f"step {step}: {finding.severity} {finding.problem}"))
            parts.append(text)
        return Group(*parts)

    def _table(self, worst: list[str], rows: int, ascii_only: bool) -> Table:
        low, high = decades([value for value in self.transport.values() if value == value])
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("worst layers first", no_wrap=True, overflow="ellipsis", max_width=36)
        table.add_column(f"gradient that reaches it, 1e{low:.0f} to 1e{high:.0f}", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("its norm over time", no_wrap=True)
        table.add_column("update", justify="right", no_wrap=True)
        for name in worst[:rows]:
            value = self.transport[name]
            logs = [math.log10(norm) if norm > 0.0 else math.nan for norm in self.course.get(name, ())]
            table.add_row(
                name,
                bar(value, (low, high), width=24, ascii_only=ascii_only),
                "none" if value != value else f"{value:.1e}",
                sparkline(logs, width=24, ascii_only=ascii_only),
                f"{self.updates[name]:.1e}" if name in self.updates else "",
            )
        if len(worst) > rows:
            table.add_row(Text(f"and {len(worst) - rows} more", style="dim"))
        return table
