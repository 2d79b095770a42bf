"""`photic demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def demo(*, out: Path = Path("photic-out"), json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Show the whole chain on a deep sigmoid network and real digits: sick, explained, treated, verified.

    Parameters
    ----------
    out
        Folder for the record, the figure and the report.
    json
        Print the result as JSON to stdout.
    """
    import json as js

    from photic.cli.failures import TargetFailure
    from photic.cli.output import console, progress
    from photic.cli.story import tell
    from photic.records.documents import to_plain

    try:
        from photic.lab.demonstration import demonstrate
    except ImportError as error:
        raise TargetFailure(
            f"the demo needs scikit-learn and matplotlib: pip install 'photic[lab]' ({error})"
        ) from error
    found = demonstrate(out, progress(quiet=json))
    if json:
        print(
            js.dumps(
                {
                    "schema_version": 1,
                    "untreated": {"test_accuracy": found.untreated.test_accuracy, "losses": found.untreated.losses},
                    "treated": {
                        "test_accuracy": found.treated.test_accuracy,
                        "remedy": found.treated.remedy,
                        "losses": found.treated.losses,
                    },
                    "others": [{"remedy": o.remedy, "test_accuracy": o.test_accuracy} for o in found.others],
                    "trials": [
                        {"remedy": t.remedy, "outcome": t.outcome, "reason": t.reason} for t in found.record.trials
                    ],
                    "findings": to_plain(found.record.before.findings),
                    "patch": found.record.patch,
                    "seconds": found.seconds,
                    "files": [str(path) for path in found.files],
                }
            )
        )
    else:
        tell(found, console())
    return 0
