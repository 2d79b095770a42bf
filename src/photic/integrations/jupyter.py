"""Notebooks: `%load_ext photic`, then `%%photic` before a training cell watches it; records show themselves as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from photic.checkups.discovery import Discovery
from photic.checkups.readable import raise_if_not_whole
from photic.checkups.watching import Watch
from photic.diagnosis.units_on_curves import units_on_curves
from photic.records.dissections import Dissection
from photic.records.findings import Checkup
from photic.records.predictions import Prediction
from photic.records.runs import Run
from photic.records.stores import StoreReader
from photic.records.treatments import TreatmentRecord
from photic.reports.coloured import coloured
from photic.reports.frame import Frame
from photic.reports.plain import plain
from photic.reports.still import still
from photic.reports.view import view_of


def register(shell: Any) -> None:
    """Add the magic and the display of records to an IPython shell."""
    shell.register_magic_function(lambda line, cell: photic_cell(shell, line, cell), "cell", "photic")
    for kind in (Checkup, TreatmentRecord):
        shell.display_formatter.formatters["text/html"].for_type(kind, still)
        shell.display_formatter.formatters["text/plain"].for_type(kind, _text)
    for kind in (Run, Prediction, Dissection):
        shell.display_formatter.formatters["text/html"].for_type(kind, coloured)
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


def framed(record: Checkup | TreatmentRecord, *, store: str | Path | None = None, height: int = 720) -> Frame:
    """Return the whole page of a record, to be the result of a cell: in Jupyter, VS Code, marimo.

    Args:
        record: a checkup, or the record of a treatment.
        store: the file that a watch recorded, for the course of its run.
        height: of the frame, in pixels.
    """
    networks = [record] if isinstance(record, Checkup) else [n for n in (record.before, record.after) if n is not None]
    curves = [units_on_curves(network.run) for network in networks]
    reader = None if store is None else StoreReader(Path(store))
    try:
        return Frame(view_of(record, curves=curves, store=reader), height)
    finally:
        if reader is not None:
            reader.close()


def _text(record: Any, printer: Any, cycle: bool) -> None:
    printer.text(plain(record))
