"""`photic run`."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from torch import nn

    from photic.checkups.discovery import Discovery
    from photic.checkups.watching import Watch
    from photic.records.findings import Finding


def run(
    script: str,
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True)],
    module: Annotated[bool, Parameter(name=("--module", "-m"), negative="")] = False,
    budget: float = 0.01,
    live: Annotated[bool, Parameter(negative="")] = False,
    serve: Annotated[bool, Parameter(negative="")] = False,
    fail_on: Literal["never", "critical", "warning"] = "never",
    stop_on: Literal["never", "critical", "warning"] = "never",
    ignore: tuple[str, ...] = (),
    record: Path | None = None,
    html: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run a training script, unchanged, under observation: `photic run train.py --lr 0.1`.

    Our options stand before the script; what follows it is its own. Models and optimizers are found by themselves, some
    steps are audited within the budget, and at the end, also after Ctrl-C or an exception, you get the verdict and the
    path of the record.

    Exit code: the script's own, whatever becomes of the record; 1 for findings where `--fail-on` asks for it, or where
    `--stop-on` ended the training; 3 if there is no such script.

    Parameters
    ----------
    script
        The training script, or with -m a module.
    arguments
        The script's own arguments.
    module
        Run a module as `python -m` does.
    budget
        Share of the time that watching may cost, after a start-up of six audits.
    live
        On a terminal a view that is redrawn in place: the worst layers first, their course, findings as they arise. Elsewhere
        a line for every audit.
    serve
        Show the run in the browser while it goes on; the address is printed. A process of its own serves it.
    fail_on
        Exit with 1 when a finding is at least this severe and the script itself ended well.
    stop_on
        Severity from which on a finding ends the training, by an exception inside its loop.
    ignore
        A problem not to be reported, as for `photic check`; give it several times.
    record
        File for the course of the run; photic-runs/NAME-TIME.sqlite by default.
    html
        Write a report page.
    json
        Print the record as JSON to stdout, after what the script prints.
    """
    from photic.checkups.discovery import Discovery
    from photic.checkups.readable import raise_if_not_whole
    from photic.checkups.watching import Watch
    from photic.cli.live import live_view
    from photic.cli.output import console
    from photic.cli.script import run_script
    from photic.cli.serving import served_beside
    from photic.cli.settings import silenced

    stem = script.rsplit(".", 1)[-1] if module else Path(script).stem
    folder = record.parent if record is not None else Path("photic-runs")
    files: list[Path] = []
    silent = silenced(ignore)
    view = live_view(stem) if live else None

    def place(number: int) -> Path:
        """The record of each training: a script may train several, one after the other."""
        if number == 0:
            return record or _unused(folder, f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}")
        name = f"{files[0].stem}-{number + 1}"
        return files[0].with_stem(name) if record is not None else _unused(folder, name)

    def made(roots: list[nn.Module]) -> Watch:
        raise_if_not_whole(roots)
        files[len(discovery.ended) :] = [_anew(place(len(discovery.ended)))]
        return Watch(
            roots,
            budget=budget,
            record=files[-1],
            ignore=silent,
            started=discovery.started,
            on_finding=_tell if view is None else view.found,
            stop_on=stop_on,
            on_audit=None if view is None else view.audited,
            on_glance=None if view is None else view.glanced,
        )

    discovery = Discovery(made)
    try:
        with served_beside(folder) if serve else nullcontext(), view or nullcontext():
            code = run_script(script, arguments, module=module)
    except KeyboardInterrupt:
        code = 130
    finally:
        discovery.close()
    try:
        return _reported(discovery, files, code, fail_on=fail_on, html=html, json=json)
    except Exception as error:  # a full disk, a fault of ours: what the script did stays what it did
        with suppress(Exception):
            console().print(f"photic: no report: {type(error).__name__}: {error}", style="yellow", markup=False)
        return code


def _anew(path: Path) -> Path:
    """Return where a record goes, emptied of what an earlier run wrote there."""
    from photic.records.stores import StoreWriter

    if path.exists():
        with suppress(Exception):  # no record of ours: the watch will say so
            StoreWriter(path, start=0).close()
    return path


def _reported(
    discovery: Discovery, files: list[Path], code: int, *, fail_on: str, html: Path | None, json: bool
) -> int:
    """Tell the verdicts, write the records and return the exit code."""
    from photic.cli.output import console, save
    from photic.records.documents import to_json

    out = console()
    if discovery.fault:
        said = "not everything was watched" if discovery.watches else "nothing was watched"
        out.print(f"photic: {said}: {discovery.fault}", style="yellow", markup=False)
    seen = [(watch, file) for watch, file in zip(discovery.watches, files) if watch.checkup is not None]
    if not seen:
        if discovery.missed and not discovery.fault:
            out.print(f"critical: {discovery.missed}", style="bold red", markup=False)
            return 1 if code == 0 and fail_on != "never" else code
        if not discovery.fault:
            out.print(
                "photic: no training step was seen: no optimizer of torch stepped on the parameters of a model",
                style="yellow",
            )
        return code
    for number, (watch, file) in enumerate(seen):
        checkup = watch.checkup
        assert checkup is not None
        if json:
            print(to_json(checkup))
        else:
            if len(seen) > 1:
                out.print(f"\ntraining {number + 1} of {len(seen)}: {checkup.run.model}", style="bold", markup=False)
            _verdict(watch)
        page = html if watch is seen[-1][0] else None
        try:
            save(checkup, html=page, figure=None, to=file.with_suffix(".json"), store=file if file.exists() else None)
            out.print(f"wrote {file}", markup=False)
        except OSError as error:
            out.print(f"photic: the record could not be written: {error}", style="yellow", markup=False)
    severities = {finding.severity for watch, _ in seen for finding in watch.findings}
    failing = {"never": set[str](), "critical": {"critical"}, "warning": {"critical", "warning"}}[fail_on]
    return 1 if code == 0 and severities & failing else code


def _unused(folder: Path, name: str) -> Path:
    """Return a file of that name that nobody else has: two runs may begin in one second, a process for each GPU."""
    for count in range(1, 1000):
        path = folder / f"{name}{f'-{count}' if count > 1 else ''}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            continue
        except OSError:  # the watch will say that there is no record
            break
        return path
    return folder / f"{name}.sqlite"


def _tell(finding: Finding, step: int) -> None:
    from photic.cli.output import console

    console().print(f"photic: step {step}: {finding.severity} {finding.problem}: {finding.reason}", markup=False)


def _verdict(watch: Watch) -> None:
    from photic.cli.output import console
    from photic.reports.terminal import show_budget, show_finding, show_layers
    from photic.reports.verdict import verdict

    out, checkup = console(), watch.checkup
    assert checkup is not None
    out.print()
    out.print(verdict(checkup), style="bold green" if checkup.healthy else "bold red", markup=False)
    profile = checkup.diagnosis.last_profile or checkup.diagnosis.profile
    if profile is not None:
        show_layers(profile, out)
        show_budget(profile, out)
    for finding in watch.findings:
        show_finding(finding, out)
    for step, finding in watch.history:
        out.print(f"gone since step {step}: {finding.problem}", style="dim", markup=False)
    for note in (*checkup.notes, *watch.faults):
        out.print(f"note: {note}", style="dim", markup=False)
