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
    from photic.records.runs import Run


def run(
    script: str,
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True)],
    module: Annotated[bool, Parameter(name=("--module", "-m"), negative="")] = False,
    budget: float = 0.01,
    live: Annotated[bool, Parameter(negative="")] = False,
    serve: Annotated[bool, Parameter(negative="")] = False,
    fail_on: Literal["never", "critical", "warning"] = "never",
    ignore: tuple[str, ...] = (),
    record: Path | None = None,
    html: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run a training script, unchanged, under observation: `photic run train.py --lr 0.1`.

    Our options stand before the script; what follows it is its own. Models and optimizers are found by themselves, some
    steps are audited within the budget, and at the end, also after Ctrl-C or an exception, you get the verdict and the
    path of the record.

    Exit code: the script's own, whatever becomes of the record; 1 for findings where `--fail-on` asks for it; 3 if there is
    no such script.

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
        Print a line for every audit.
    serve
        Show the run in the browser while it goes on; the address is printed. A process of its own serves it.
    fail_on
        Severity from which on the exit code is 1.
    ignore
        Problems not to be reported.
    record
        File for the course of the run; photic-runs/NAME-TIME.sqlite by default.
    html
        Write a report page.
    json
        Print the record as JSON to stdout, after what the script prints.
    """
    from photic.checkups.discovery import Discovery
    from photic.checkups.watching import Watch
    from photic.cli.output import console
    from photic.cli.script import run_script
    from photic.cli.serving import served_beside
    from photic.cli.settings import silenced

    stem = script.rsplit(".", 1)[-1] if module else Path(script).stem
    folder = record.parent if record is not None else Path("photic-runs")
    store: list[Path] = []
    silent = silenced(ignore)

    def made(roots: list[nn.Module]) -> Watch:
        store.append(record or _unused(folder, f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"))
        return Watch(
            roots,
            budget=budget,
            record=store[0],
            ignore=silent,
            started=1,
            on_finding=_tell,
            on_audit=_line if live else None,
        )

    discovery = Discovery(made)
    try:
        with served_beside(folder) if serve else nullcontext():
            code = run_script(script, arguments, module=module)
    except KeyboardInterrupt:
        code = 130
    finally:
        discovery.close()
    try:
        return _reported(discovery, store, code, fail_on=fail_on, html=html, json=json)
    except Exception as error:  # a full disk, a fault of ours: what the script did stays what it did
        with suppress(Exception):
            console().print(f"photic: no report: {type(error).__name__}: {error}", style="yellow", markup=False)
        return code


def _reported(
    discovery: Discovery, store: list[Path], code: int, *, fail_on: str, html: Path | None, json: bool
) -> int:
    """Tell the verdict, write the record and return the exit code."""
    from photic.cli.output import console, save
    from photic.records.documents import to_json

    watch, out = discovery.watch, console()
    if discovery.fault:
        out.print(f"photic: nothing was watched: {discovery.fault}", style="yellow", markup=False)
        return code
    if watch is None or watch.checkup is None:
        out.print(
            "photic: no training step was seen: no optimizer of torch stepped on the parameters of a model",
            style="yellow",
        )
        return code
    checkup = watch.checkup
    if json:
        print(to_json(checkup))
    else:
        _verdict(watch)
    (path,) = store
    severities = {finding.severity for finding in watch.findings}
    failing = {"never": set[str](), "critical": {"critical"}, "warning": {"critical", "warning"}}[fail_on]
    judged = 1 if code == 0 and severities & failing else code
    try:
        save(checkup, html=html, figure=None, to=path.with_suffix(".json"), store=path if path.exists() else None)
        out.print(f"wrote {path}", markup=False)
    except OSError as error:
        out.print(f"photic: the record could not be written: {error}", style="yellow", markup=False)
    return judged


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


def _line(run: Run) -> None:
    from photic.cli.output import console
    from photic.diagnosis.profile import depth_profile
    from photic.reports.bars import bar, decades

    profile = depth_profile(run)
    if profile is None:
        return
    transports = [line.transport for line in profile.layers]
    span = decades(transports)
    picture = "".join(bar(value, span, width=1) for value in transports[:60])
    loss = run.steps[0].loss
    shown = "" if loss is None else f"loss {loss:.4g}  "
    console().print(f"photic: step {run.steps[0].step}  {shown}{profile.reach}  |{picture}|", markup=False)


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
