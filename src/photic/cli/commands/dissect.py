"""`photic dissect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def dissect(
    target: str,
    *,
    seed: int = 0,
    top: int = 4,
    input: Annotated[str, Parameter(name="--input")] = "",
    all: Annotated[bool, Parameter(name="--all", negative="")] = False,
    block: str = "",
    json: Annotated[bool, Parameter(negative="")] = False,
    save: Path | None = None,
) -> int:
    """Look closer: gradients example by example, rank collapse, the Jacobian's singular values, shattering.

    Parameters
    ----------
    target
        FILE.py:NAME or package.module:NAME, as for `photic check`.
    seed
        Seed for building the model, for drawn inputs and for random directions.
    top
        How many of the largest singular values.
    input
        Inputs to draw when the target brings none, as for `photic check`.
    all
        Show every operation.
    block
        Show only what runs inside this module, `encoder.layer.7`.
    json
        Print the record as JSON to stdout.
    save
        Write the record, for `photic report`.
    """
    from photic.checkups.setup import as_batches
    from photic.cli.failures import TargetFailure
    from photic.cli.options import Output
    from photic.cli.targets import load
    from photic.probes.dissection import dissect as look_closer

    loaded = load(target, shape=input, seed=seed)
    try:
        found = look_closer(loaded.model, next(as_batches(loaded.batches)()), loaded.loss, top=top, seed=seed)
    except (TypeError, ValueError, RuntimeError, StopIteration) as error:
        raise TargetFailure(f"{target} could not be dissected: {error}") from error
    Output(all=all, block=block, json=json).hand_over(found, to=save)
    return 0
