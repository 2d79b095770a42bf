"""Where commands print: text for people on stderr, `--json` on stdout, files where they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from photic import __version__
from photic.cli.failures import UsageFailure
from photic.records import documents
from photic.records.findings import Checkup


def console() -> Console:
    """Return the console for people: stderr; 140 characters wide where it is no terminal."""
    made = Console(stderr=True, highlight=False)
    return made if made.is_terminal else Console(stderr=True, highlight=False, width=140, no_color=True)


def progress(quiet: bool) -> Callable[[str, float], None]:
    """Return a progress function: one line that is redrawn on a terminal, a line per stage elsewhere."""
    live = sys.stderr.isatty()
    last = [""]

    def tell(stage: str, share: float) -> None:
        if quiet:
            return
        if live:
            print(
                f"\r\x1b[2K[{100 * share:3.0f} %] {stage}",
                end="" if share < 1.0 else "\r\x1b[2K",
                file=sys.stderr,
                flush=True,
            )
        elif stage != last[0] and share < 1.0:
            print(f"[{100 * share:3.0f} %] {stage}", file=sys.stderr, flush=True)
        last[0] = stage

    return tell


def save(
    record: Any,
    *,
    html: Path | None,
    figure: Path | None,
    to: Path | None,
    store: Path | None = None,
    with_source: bool = False,
) -> None:
    """Write the files that were asked for and say where they are."""
    if to is not None:
        said(documents.write(record, to))
    if html is not None:
        from photic.reports.page import page

        write(html, page(report_view(record, store=store, with_source=with_source)))
    if figure is not None:
        from photic.reports.figure import draw

        try:
            said(draw(record, figure))
        except (ModuleNotFoundError, ValueError) as error:
            raise UsageFailure(str(error)) from error


def for_machines(record: Any, form: str) -> str:
    """Return the findings of a checkup as `sarif`, `github` annotations or `junit`.

    Raises:
        UsageFailure: if the record is no checkup.
    """
    if not isinstance(record, Checkup):
        raise UsageFailure(
            f"--format {form} shows findings, and a {type(record).__name__} has none; use `photic check`"
        )
    from photic.diagnosis.registry import rules
    from photic.reports.github import annotations
    from photic.reports.junit import junit
    from photic.reports.sarif import sarif

    if form == "sarif":
        texts = {rule.problem: rule.documentation for rule in rules()}
        return sarif(record, version=__version__, documentation=texts)
    return annotations(record) if form == "github" else junit(record)


def report_view(
    record: Any, *, title: str = "", store: Path | None = None, with_source: bool = False
) -> dict[str, Any]:
    """Return what the page shows of a record: with the units on their activations and, given its store, the course."""
    from photic.diagnosis.units_on_curves import units_on_curves
    from photic.records.stores import StoreReader
    from photic.records.treatments import TreatmentRecord
    from photic.reports.view import view_of

    if not isinstance(record, (Checkup, TreatmentRecord)):
        raise UsageFailure(f"a page shows checkups, treatments and watched runs, not a {type(record).__name__.lower()}")
    networks = [record] if isinstance(record, Checkup) else [c for c in (record.before, record.after) if c is not None]
    curves = [units_on_curves(network.run) for network in networks]
    reader = StoreReader(store) if store is not None else None
    try:
        return view_of(record, title=title, curves=curves, store=reader, with_source=with_source)
    finally:
        if reader is not None:
            reader.close()


def write(path: Path, text: str) -> None:
    """Write a text file, its folder too, and say where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    said(path)


def said(path: Path) -> None:
    """Say which file was written."""
    print(f"wrote {path}", file=sys.stderr)
