"""Notebooks: `%load_ext photic`, then `%%photic` before a training cell watches it; records show themselves as tables."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from torch import nn

from photic.checkups.discovery import Discovery
from photic.checkups.readable import raise_if_not_whole
from photic.checkups.watching import Watch
from photic.records.dissections import Dissection
from photic.records.findings import Checkup
from photic.records.predictions import Prediction
from photic.records.runs import Run
from photic.records.treatments import TreatmentRecord
from photic.reports.plain import plain
from photic.reports.terminal import show

_PAGE = '<pre style="white-space:pre;overflow-x:auto;line-height:1.3;font-family:monospace">{code}</pre>'


def register(shell: Any) -> None:
    """Add the magic and the display of records to an IPython shell."""
    shell.register_magic_function(lambda line, cell: photic_cell(shell, line, cell), "cell", "photic")
    for kind in (Checkup, TreatmentRecord, Run, Prediction, Dissection):
        shell.display_formatter.formatters["text/html"].for_type(kind, html)
        shell.display_formatter.formatters["text/plain"].for_type(kind, _text)


def photic_cell(shell: Any, line: str, cell: str) -> Checkup | None:
    """Run a cell, watch what it trains, and return the checkup; None where no optimizer stepped.

    The cell runs as it would without: its variables stay, its errors are shown. `line` may name problems that are not to be
    reported.
    """
    ignore = tuple(line.split())

    def made(roots: list[nn.Module]) -> Watch:
        raise_if_not_whole(roots)
        return Watch(roots, ignore=ignore, started=1)

    discovery = Discovery(made)
    try:
        shell.run_cell(cell)
    finally:
        discovery.close()
    if discovery.watch is None or discovery.watch.checkup is None:
        print("photic: no training step was seen: no optimizer of torch stepped on the parameters of a model")  # noqa: T201
        return None
    return discovery.watch.checkup


def html(record: Any) -> str:
    """Return what the terminal shows as HTML with colours, without any script."""
    console = Console(record=True, file=io.StringIO(), width=130, force_jupyter=False, highlight=False)
    show(record, console)
    return console.export_html(inline_styles=True, code_format=_PAGE)


def _text(record: Any, printer: Any, cycle: bool) -> None:
    printer.text(plain(record))
