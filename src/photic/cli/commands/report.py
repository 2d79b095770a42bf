"""`photic report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def report(
    run: Path,
    *,
    all: Annotated[bool, Parameter(name="--all", negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    html: Path | None = None,
    figure: Path | None = None,
) -> int:
    """Show a saved record as text, page, figure or JSON; needs no torch.

    Parameters
    ----------
    run
        File written by `--save` or by the demo.
    all
        Show every operation.
    json
        Print the record as JSON to stdout.
    html
        Write a report page.
    figure
        Write a figure (SVG, PNG or PDF).
    """
    from photic.cli.failures import TargetFailure
    from photic.cli.output import console, save
    from photic.records import documents
    from photic.reports.terminal import show

    try:
        record = documents.read(run)
    except FileNotFoundError:
        raise TargetFailure(f"there is no file {run}; records are written by `photic check ... --save FILE`") from None
    except (ValueError, KeyError, OSError) as error:
        raise TargetFailure(f"{run} could not be read: {error}") from error
    if json:
        print(documents.to_json(record))
    elif html is None and figure is None:
        show(record, console(), everything=all)
    save(record, html=html, figure=figure, to=None)
    return 0
