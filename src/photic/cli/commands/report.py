"""`photic report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from photic.cli.options import Output

AS_TEXT = Output()
_HEAD = b"SQLite format 3\0"


def report(
    run: Path,
    *others: Path,
    output: Output = AS_TEXT,
) -> int:
    """Show a saved record as text, page, figure or JSON; needs no torch.

    Parameters
    ----------
    run
        File written by `--save`, by the demo, or by `photic run`.
    others
        Further records, to be compared with it on the page (`--html`).
    output
        What to show and which files to write.
    """
    from photic.cli.failures import UsageFailure
    from photic.cli.output import report_view, write

    if others or _store_alone(run):
        if output.html is None:
            raise UsageFailure("a run without a verdict, and several runs, are shown by a page: add --html FILE")
        from photic.reports.page import page

        views = [_view(path, output.with_source, report_view) for path in (run, *others)]
        networks = [network for view in views for network in view["runs"]]
        write(output.html, page({"mode": "report", "runs": networks, "treatment": None}))
        return 0
    record, store = _read(run)
    output.hand_over(record, quiet=output.html is not None or output.figure is not None, store=store)
    return 0


def _store_alone(path: Path) -> bool:
    return _is_store(path) and not path.with_suffix(".json").exists()


def _is_store(path: Path) -> bool:
    """Whether a file is the course of a run, whatever its name: `photic.watch(record=...)` takes any."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".sqlite" or file.read(len(_HEAD)) == _HEAD


def _read(path: Path) -> tuple[Any, Path | None]:
    """Return the record, and the store of its course where there is one."""
    from photic.cli.failures import TargetFailure
    from photic.records import documents

    store = path.with_suffix(".sqlite")  # `photic run` writes the verdict beside the store
    try:
        return documents.read(path.with_suffix(".json") if path == store else path), store if store.exists() else None
    except FileNotFoundError:
        raise TargetFailure(f"there is no file {path}; records are written by `photic check ... --save FILE`") from None
    except (ValueError, KeyError, OSError) as error:
        raise TargetFailure(f"{path} could not be read: {error}") from error


def _view(path: Path, with_source: bool, make: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    from photic.cli.failures import TargetFailure
    from photic.records.stores import StoreReader
    from photic.reports.view import view_of_store

    if not _store_alone(path):
        record, store = _read(path)
        return make(record, title=path.stem, store=store, with_source=with_source)
    try:
        reader = StoreReader(path)
    except (ValueError, OSError) as error:
        raise TargetFailure(f"{path} could not be read: {error}") from error
    try:
        return view_of_store(reader, title=path.stem)
    finally:
        reader.close()
