"""`photic clinic --rivals`: the rules of other tools on the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def _asked(item: tuple[str, int, int]) -> list[Any]:
    from photic.lab.clinic.case import cases
    from photic.lab.rivals.comparison import compare, ours

    name, steps, seed = item
    case = next(case for case in cases() if case.name == name)
    return [ours(case, steps=steps, seed=seed), *compare(case, seed=seed)]


def compared(chosen: list[Any], steps: int | None, seed: int, processes: int, as_json: bool, plot: Path | None) -> int:
    """Ask all tools about the cases and print what each finds, names, and says of the healthy."""
    import dataclasses
    import json

    from rich.table import Table

    from photic.cli.output import console
    from photic.cli.pools import pooled
    from photic.lab.clinic.verify import stored
    from photic.lab.rivals.comparison import TOOLS, tally

    known = stored()
    kept = [case for case in chosen if case.name not in known or known[case.name].holds]
    verdicts = [
        verdict for row in pooled(_asked, [(c.name, steps, seed) for c in kept], processes, as_json) for verdict in row
    ]
    parts = sorted({verdict.part for verdict in verdicts}, reverse=True)
    tallies = [tally(verdicts, tool, part) for part in parts for tool in ("photic", *TOOLS)]
    if plot is not None:
        from photic.lab.rivals.drawing import draw

        draw([tally(verdicts, tool, "") for tool in ("photic", *TOOLS)], plot)
    if as_json:
        print(
            json.dumps(
                {k: [dataclasses.asdict(x) for x in v] for k, v in (("tallies", tallies), ("verdicts", verdicts))}
            )
        )
        return 0
    table = Table("part", "rules of", "applies to", "detected", "named", "false alarms")
    for t in tallies:
        table.add_row(
            t.part, t.tool, f"{t.sick + t.healthy}", f"{t.detected} of {t.sick}", f"{t.named} of {t.sick}",
            f"{t.false_alarms} of {t.healthy}",
        )  # fmt: skip
    screen = console()
    screen.print(table)
    screen.print(
        f"{len(kept)} cases. photic saw {steps or '20 to 60'} steps of each, the others the whole training. Named: a rule fired that speaks of "
        "the case's label; several may fire.",
        markup=False,
    )
    if plot is not None:
        screen.print(f"the picture is in {plot}", markup=False)
    return 0
