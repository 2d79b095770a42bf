"""`photic predict`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def predict(
    target: str,
    *,
    seed: int = 0,
    input: Annotated[str, Parameter(name="--input")] = "",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Print what mean-field theory expects at every operation of a network; no backward pass is made.

    Parameters
    ----------
    target
        FILE.py:NAME or package.module:NAME, as for `photic check`.
    seed
        Seed for building the model and for drawn inputs.
    input
        Inputs to draw when the target brings none, as for `photic check`.
    json
        Print the prediction as JSON to stdout.
    """
    from photic.checkups.predict import predict as expect
    from photic.checkups.setup import as_batches
    from photic.cli.failures import TargetFailure
    from photic.cli.output import console
    from photic.cli.targets import load
    from photic.records.documents import to_json
    from photic.reports.terminal import show

    loaded = load(target, shape=input, seed=seed)
    try:
        prediction = expect(loaded.model, next(as_batches(loaded.batches)()))
    except (TypeError, ValueError, RuntimeError, StopIteration) as error:
        raise TargetFailure(f"{target} could not be predicted: {error}") from error
    if json:
        print(to_json(prediction))
    else:
        show(prediction, console())
    return 0
