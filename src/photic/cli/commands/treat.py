"""`photic treat`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def treat(
    target: str,
    *,
    steps: int = 200,
    minutes: float | None = None,
    seed: int = 0,
    input: Annotated[str, Parameter(name="--input")] = "",
    write: Annotated[bool, Parameter(negative="")] = False,
    all: Annotated[bool, Parameter(name="--all", negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    html: Path | None = None,
    figure: Path | None = None,
    save: Path | None = None,
) -> int:
    """Find what is wrong, try what may cure it against the untreated control, and print a patch.

    Exit code 0: cured, or nothing to cure; 1: nothing cured; 3: the target could not be loaded or run.

    Parameters
    ----------
    target
        FILE.py:NAME or package.module:NAME, as for `photic check`.
    steps
        Training steps of one trial.
    minutes
        Stop trying when they are over.
    seed
        Seed for building the model and for drawn inputs.
    input
        Inputs to draw when the target brings none.
    write
        Apply the patch to the file; the old one is kept as FILE.orig.
    all
        Show every operation.
    json
        Print the record as JSON to stdout.
    html
        Write a report page.
    figure
        Write a figure (SVG, PNG or PDF).
    save
        Write the record, for `photic report`.
    """
    from photic.cli.failures import TargetFailure
    from photic.cli.output import console, progress, said
    from photic.cli.output import save as store
    from photic.cli.targets import load
    from photic.records.documents import to_json
    from photic.remedies.patch import apply_patch
    from photic.remedies.treat import treat as cure
    from photic.reports.terminal import show

    loaded = load(target, shape=input, seed=seed)
    try:
        treatment = cure(
            loaded.build,
            loaded.batches,
            loaded.loss,
            optimizer=loaded.optimizer,
            steps=steps,
            minutes=minutes,
            progress=progress(quiet=json),
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetFailure(f"{target} could not be treated: {error}") from error
    if json:
        print(to_json(treatment.record))
    else:
        show(treatment.record, console(), everything=all)
        for note in loaded.notes:
            console().print(f"note: {note}", style="dim", markup=False)
    store(treatment.record, html=html, figure=figure, to=save)
    if write and treatment.patch:
        try:
            said(apply_patch(treatment.patch))
        except (ValueError, OSError) as error:
            raise TargetFailure(str(error)) from error
    if treatment.record.before.run.stopped:
        return 3
    return 0 if treatment.accepted or treatment.record.before.healthy else 1
