"""`photic treat`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from photic.cli.options import Output

AS_TEXT = Output()


def treat(
    target: str,
    *,
    steps: int = 200,
    minutes: float | None = None,
    thorough: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    keep: Path | None = None,
    seed: int = 0,
    input: Annotated[str, Parameter(name="--input")] = "",
    weights: Path | None = None,
    trust: Annotated[bool, Parameter(negative="")] = False,
    ignore: tuple[str, ...] = (),
    write: Annotated[bool, Parameter(negative="")] = False,
    output: Output = AS_TEXT,
    save: Path | None = None,
) -> int:
    """Find what is wrong, try what may cure it against the untreated control, and print a patch.

    Exit code 0: cured, or nothing to cure; 1: nothing cured, or the patch is not to be trusted; 2: usage; 3: the target could not be loaded or run.

    Parameters
    ----------
    target
        FILE.py:NAME or package.module:NAME, as for `photic check`; hf:, timm: and FILE.pt2 too.
    steps
        Training steps of one trial.
    minutes
        Stop trying after so many; what was proven by then counts. The untreated network is trained in any case.
    thorough
        Train every remedy that applies to the end, to compare them, instead of dropping the less promising ones early.
    workers
        Trials that train at the same time, each in a process with one thread; by default one per core.
    keep
        Folder in which what was trained is kept: after an interruption the same command goes on from there.
    seed
        Seed for building the model and for drawn inputs.
    input
        Inputs to draw when the target brings none, as for `photic check`.
    weights
        Weights to start from, as for `photic check`.
    trust
        Load a .pt2 file, as for `photic check`.
    ignore
        A problem that is not to be treated, as for `photic check`; give it several times.
    write
        Apply the patch to the file, once the patched file has trained as the trial did; the old one is kept as FILE.orig.
    save
        Write the record, for `photic report`.
    """
    from photic.cli.failures import TargetFailure, UsageFailure
    from photic.cli.output import console, progress, said
    from photic.cli.settings import silenced
    from photic.cli.targets import load
    from photic.remedies.patch import apply_patch
    from photic.remedies.treat import treat as cure

    if output.format != "text":
        raise UsageFailure(f"--format {output.format} shows findings, and a treatment has none; use `photic check`")
    told, silent = progress(quiet=output.json), silenced(ignore)
    loaded = load(target, shape=input, seed=seed, weights=weights, trust=trust)
    try:
        treatment = cure(
            loaded.build,
            loaded.batches,
            loaded.loss,
            optimizer=loaded.optimizer_of_each(),
            steps=steps,
            minutes=minutes,
            thorough=thorough,
            ignore=silent,
            workers=workers,
            keep=keep,
            progress=told,
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetFailure(f"{target} could not be treated: {error}") from error
    record, proven = treatment.record, False
    if record.patch:
        from dataclasses import replace

        from photic.cli.proof import prove

        told("train the patched file in a fresh process", 0.99)
        proven, proof = prove(record, target, shape=input, seed=seed, steps=steps, weights=weights)
        record = replace(record, notes=(*record.notes, proof))
    told("done", 1.0)
    output.hand_over(record, to=save)
    if not output.json:
        for note in loaded.notes:
            console().print(f"note: {note}", style="dim", markup=False)
    if write and treatment.patch and not proven:
        print("the patch was not written: the patched file did not train as the trial did", file=sys.stderr)
        return 1
    if write and treatment.patch:
        try:
            said(apply_patch(treatment.patch))
        except (ValueError, OSError) as error:
            raise TargetFailure(str(error)) from error
    if treatment.record.before.run.stopped:
        return 3
    return 0 if treatment.accepted or treatment.record.before.healthy else 1
