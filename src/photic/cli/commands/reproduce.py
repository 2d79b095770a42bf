"""`photic reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from photic.lab.claims import Paper, Size


def reproduce(
    paper: str = "",
    *,
    figure: str = "",
    full: Annotated[bool, Parameter(negative="")] = False,
    all: Annotated[bool, Parameter(name="--all", negative="")] = False,
    seeds: int | None = None,
    store: Annotated[bool, Parameter(negative="")] = False,
    out: Path = Path("photic-out"),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run a paper's claims, ours beside theirs; without PAPER the stored scoreboard of all papers, at once.

    What was computed is kept (in PHOTIC_CACHE, else the user's cache folder), so a run that was stopped goes on where
    it stopped, and a second one answers at once.

    Parameters
    ----------
    paper
        Key of the paper: glorot2010, he2015 ... The scoreboard lists them.
    figure
        Draw this figure of the paper instead, into the folder `--out`.
    full
        Run the claims that need the paper's own size too. They take hours on a CPU.
    all
        Run every paper.
    seeds
        Seeds per claim; by default each claim's own number.
    store
        Keep the result in the scoreboard that is shown without PAPER.
    out
        Folder for figures.
    json
        Print `{"papers": [{"key", "title", "claims": [...]}]}` to stdout.
    """
    from photic.cli.failures import UsageFailure
    from photic.cli.output import console, progress
    from photic.records.scoreboard import Scoreboard
    from photic.reports.scoreboard import read_stored, show_scoreboard, to_claims_json

    if seeds is not None and seeds < 1:
        raise UsageFailure(f"expected at least one seed, got {seeds}")
    if (store and not (all or paper)) or (figure and (all or not paper)):
        raise UsageFailure(
            "--store goes with --all or a paper, --figure with a paper: photic reproduce glorot2010 --figure 7"
        )
    if not paper and not all:
        board = read_stored()
    else:
        from photic.lab.reproduction import merged, scoreboard, write_stored
        from photic.lab.reproduction import reproduce as run

        size: Size = "full" if full else "quick"
        chosen = _chosen("" if all else paper)
        if figure:
            return _draw(chosen[0], figure, out, size=size, quiet=json)
        told = progress(quiet=json)
        results = [run(one, size=size, seeds=seeds, progress=told) for one in chosen]
        board = scoreboard(results)
        if store:
            whole = merged(board, read_stored())
            write_stored(whole)
            keys = {one.key for one in chosen}
            board = Scoreboard(tuple(one for one in whole.papers if one.key in keys), whole.facts)
    if json:
        print(to_claims_json(board))
    else:
        show_scoreboard(board, console())
    return 0


def _chosen(key: str) -> tuple[Paper, ...]:
    from photic.cli.failures import TargetFailure, UsageFailure

    try:
        from photic.lab.claims import paper, papers

        return (paper(key),) if key else papers()
    except ImportError as error:
        raise TargetFailure(
            f"the papers need scikit-learn and matplotlib: pip install 'photic[lab]' ({error})"
        ) from error
    except KeyError as error:
        raise UsageFailure(str(error.args[0])) from error


def _draw(paper: Paper, number: str, out: Path, *, size: Size, quiet: bool) -> int:
    from photic.cli.failures import UsageFailure
    from photic.cli.output import progress, said
    from photic.lab.reproduction import numbers

    found = paper.figures.get(number)
    if found is None:
        there = ", ".join(paper.figures) or "none"
        raise UsageFailure(f"figure {number} of {paper.key} cannot be drawn; there are: {there}")
    tell = progress(quiet)
    parts = []
    for index, experiment in enumerate(found.experiments):
        tell(f"{paper.key}, figure {number}: {experiment.__name__.replace('_', ' ')}", index / len(found.experiments))
        parts.append(numbers(paper, experiment, 0, size))
    tell("done", 1.0)
    try:
        said(found.draw(parts, out / f"{paper.key}-figure-{number}.png"))
    except ModuleNotFoundError as error:
        raise UsageFailure(str(error)) from error
    return 0
