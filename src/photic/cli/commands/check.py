"""`photic check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from photic.cli.options import Output

AS_TEXT = Output()


def check(
    target: str,
    *,
    steps: int | None = None,
    seed: int = 0,
    input: Annotated[str, Parameter(name="--input")] = "",
    weights: Path | None = None,
    trust: Annotated[bool, Parameter(negative="")] = False,
    ignore: tuple[str, ...] = (),
    output: Output = AS_TEXT,
    save: Path | None = None,
) -> int:
    """Audit a model before training and in its first steps: what is wrong, where, why, and what to do.

    Exit code 0: healthy; 1: findings; 2: usage; 3: the target could not be loaded or run.

    Parameters
    ----------
    target
        FILE.py:NAME or package.module:NAME, where NAME is a model, or a function without arguments that returns one, or
        (model, batch), (model, batches, loss) or (model, batches, loss, optimizer). Or hf:ID or hf:FOLDER (a configuration
        of transformers, random weights, no code of the hub's), timm:NAME, or with --trust an exported program, FILE.pt2.
    steps
        Training steps that a copy of the model makes; with 0 it is only audited. Without it 20, and 60 where these neither lower
        the loss nor show why.
    seed
        Seed for building the model and for drawn inputs.
    input
        Inputs to draw when the target brings none: "float32[8,3,32,32]" or "tokens[2,128]"; or
        FILE.py:NAME of a function that returns a batch.
    weights
        Weights for the model: .safetensors, or .pt with a state dict; nothing else in the file is loaded.
    trust
        Load a .pt2 file, which can run code; it is loaded in a process of its own.
    ignore
        A problem to be silenced: dead-units, or at some places only, "dead-units@encoder.*"; give it several times. A
        project's pyproject.toml may list more: ignore = [...] in [tool.photic].
    save
        Write the record, for `photic report`.
    """
    from photic.checkups.check import check as examine
    from photic.cli.failures import TargetFailure
    from photic.cli.output import progress
    from photic.cli.settings import silenced
    from photic.cli.targets import load

    loaded = load(target, shape=input, seed=seed, weights=weights, trust=trust)
    try:
        checkup = examine(
            loaded.model,
            loaded.batches,
            loaded.loss,
            loaded.optimizer,
            steps=steps,
            ignore=silenced(ignore),
            progress=progress(quiet=output.json),
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetFailure(f"{target} could not be checked: {error}") from error
    import dataclasses

    checkup = dataclasses.replace(checkup, notes=(*loaded.notes, *checkup.notes))
    output.hand_over(checkup, to=save)
    if checkup.run.stopped:
        return 3
    return 0 if checkup.healthy else 1
