"""`photic report`."""

from __future__ import annotations

from pathlib import Path

from photic.cli.options import Output

AS_TEXT = Output()


def report(
    run: Path,
    *,
    output: Output = AS_TEXT,
) -> int:
    """Show a saved record as text, page, figure or JSON; needs no torch.

    Parameters
    ----------
    run
        File written by `--save` or by the demo.
    """
    from photic.cli.failures import TargetFailure
    from photic.records import documents

    beside = run.with_suffix(".json")
    run = (
        beside if run.suffix == ".sqlite" and beside.exists() else run
    )  # `photic run` writes the verdict beside the store
    try:
        record = documents.read(run)
    except FileNotFoundError:
        raise TargetFailure(f"there is no file {run}; records are written by `photic check ... --save FILE`") from None
    except (ValueError, KeyError, OSError) as error:
        raise TargetFailure(f"{run} could not be read: {error}") from error
    output.hand_over(record, quiet=output.html is not None or output.figure is not None)
    return 0
