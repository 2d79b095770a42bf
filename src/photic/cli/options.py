"""The options that every command with a record shares: what to show, and which files to write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from photic.cli.output import console, for_machines, save
from photic.records.documents import to_json
from photic.reports.blocks import View


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Output:
    """How a record is handed over."""

    all: Annotated[
        bool, Parameter(name="--all", negative="", help="Show every operation; by default a deep network is cut short.")
    ] = False
    block: Annotated[str, Parameter(help="Show only what runs inside this module, such as `encoder.layer.7`.")] = ""
    json: Annotated[bool, Parameter(negative="", help="Print the record as JSON to stdout.")] = False
    html: Annotated[Path | None, Parameter(help="Write a report page: one HTML file that needs nothing else.")] = None
    format: Annotated[
        Literal["text", "sarif", "github", "junit"],
        Parameter(help="For CI: print the findings to stdout as SARIF, GitHub annotations or JUnit XML."),
    ] = "text"
    with_source: Annotated[
        bool, Parameter(negative="", help="Leave source code (the patch) and whole paths in the page.")
    ] = False
    figure: Annotated[
        Path | None, Parameter(help="Write a figure of the depth profile (SVG, PNG or PDF); needs photic[lab].")
    ] = None

    def hand_over(self, record: Any, *, to: Path | None = None, quiet: bool = False, store: Path | None = None) -> None:
        """Print the record as JSON or, unless `quiet`, for people; write the files that were asked for."""
        from photic.reports.terminal import show

        if self.format != "text":
            print(for_machines(record, self.format))
        elif self.json:
            print(to_json(record))
        elif not quiet:
            show(record, console(), View(self.all, self.block))
        save(record, html=self.html, figure=self.figure, to=to, store=store, with_source=self.with_source)
