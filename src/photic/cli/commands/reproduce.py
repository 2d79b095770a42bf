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
    paper_size: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
    seeds: int | None = None,
    store: Annotated[bool, Parameter(negative="")] = False,
    data: Path | None = None,
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
        Run our larger size too: what only longer training or more layers show. It is not always the paper's: for
        Glorot 60,000 updates of 300 units (the paper: 5 million of 1,000). Minutes to hours on a CPU; papers whose quick
        size shows all have no other.
    paper_size
        With glorot2010, in the place of `--full`: 5 million updates of 1,000 units for each of its networks, as in the
        paper. For a GPU; on one core it is days. A network that was trained is kept, one that was stopped starts anew.
    device
        Where networks are trained: cpu, cuda, cuda:1, mps ... Images and initial values are drawn on the CPU, the same for
        each device; results of one device are never taken for another's. Experiments that only measure, and those that
        train for seconds, run on the CPU whatever is named.
    all
        Run every paper.
    seeds
        Seeds per claim; by default each claim's own number.
    store
        Keep the result in the scoreboard that is shown without PAPER: of the CPU, at our own sizes.
    data
        With glorot2010: train table 1's networks on the MNIST or CIFAR-10 files that lie in this folder, under their own
        names (IDX files; the binary version of CIFAR-10). Nothing is downloaded. Minutes per data set.
    out
        Folder for figures.
    json
        Print `{"papers": [{"key", "title", "claims": [...]}]}` to stdout.
    """
    from photic.cli.failures import UsageFailure
    from photic.cli.output import console, progress
    from photic.lab.board import show
    from photic.records.scoreboard import Scoreboard
    from photic.reports.scoreboard import read_stored, to_claims_json

    if seeds is not None and seeds < 1:
        raise UsageFailure(f"expected at least one seed, got {seeds}")
    if (store and not (all or paper)) or (figure and (all or not paper)):
        raise UsageFailure(
            "--store goes with --all or a paper, --figure with a paper: photic reproduce glorot2010 --figure 7"
        )
    if paper_size and (paper != "glorot2010" or all or full or data is not None):
        raise UsageFailure(
            "--paper-size goes with glorot2010 and takes the place of --full: photic reproduce glorot2010 --paper-size"
        )
    if store and (paper_size or device != "cpu"):
        raise UsageFailure(
            "--store keeps what the CPU gave at our own sizes; leave --paper-size and --device out, or --store"
        )
    if device != "cpu":
        _require(device)
    if data is not None:
        if paper != "glorot2010" or all or figure or store:
            raise UsageFailure("--data goes with glorot2010 alone: photic reproduce glorot2010 --data FOLDER")
        return _on_files(data, size="full" if full else "quick", seed_count=seeds or 1, device=device, as_json=json)
    if not paper and not all:
        board = read_stored()
    else:
        from photic.lab.reproduction import merged, scoreboard, write_stored
        from photic.lab.reproduction import reproduce as run

        size: Size = "paper" if paper_size else "full" if full else "quick"
        chosen = _chosen("" if all else paper)
        if figure:
            return _draw(chosen[0], figure, out, size=size, device=device, quiet=json)
        told = progress(quiet=json)
        results = [run(one, size=size, seeds=seeds, device=device, progress=told) for one in chosen]
        board = scoreboard(results)
        if store:
            whole = merged(board, read_stored())
            write_stored(whole)
            keys = {one.key for one in chosen}
            board = Scoreboard(tuple(one for one in whole.papers if one.key in keys), whole.facts)
    if json:
        print(to_claims_json(board))
    else:
        show(board, console())
    return 0


def _require(device: str) -> None:
    from photic.cli.failures import TargetFailure, UsageFailure

    try:
        from photic.lab import devices

        devices.device(device)
    except ImportError as error:
        raise TargetFailure(f"training needs torch ({error})") from error
    except ValueError as error:
        raise UsageFailure(str(error)) from error


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


def _draw(paper: Paper, number: str, out: Path, *, size: Size, device: str, quiet: bool) -> int:
    from photic.cli.failures import UsageFailure
    from photic.cli.output import progress, said
    from photic.lab.reproduction import numbers

    found = paper.figures.get(number)
    if found is None:
        there = ", ".join(paper.figures) or "none"
        raise UsageFailure(f"figure {number} of {paper.key} cannot be drawn; there are: {there}")
    tell = progress(quiet)
    parts = []
    asked = [(experiment, seed) for experiment in found.experiments for seed in range(found.seeds)]
    for index, (experiment, seed) in enumerate(asked):
        told = f"{paper.key}, figure {number}: {experiment.__name__.replace('_', ' ')}, seed {seed}"
        tell(told, index / len(asked))
        parts.append(numbers(paper, experiment, seed, size, device))
    tell("done", 1.0)
    try:
        said(found.draw(parts, out / f"{paper.key}-figure-{number}.png"))
    except ModuleNotFoundError as error:
        raise UsageFailure(str(error)) from error
    return 0


def _on_files(folder: Path, *, size: Size, seed_count: int, device: str, as_json: bool) -> int:
    """Train table 1's networks on the user's own files and show ours beside theirs."""
    from dataclasses import asdict
    from json import dumps

    from rich.table import Table

    from photic.cli.failures import TargetFailure
    from photic.cli.output import console, progress

    try:
        from photic.lab.glorot_table import columns

        found = columns(folder, size=size, seeds=seed_count, device=device, progress=progress(quiet=as_json))
    except (ImportError, OSError, ValueError) as error:
        raise TargetFailure(str(error)) from error
    if as_json:
        print(dumps({"table-1": [asdict(column) for column in found]}))
        return 0
    for column in found:
        title = f"{column.dataset}: test error in %, {column.updates:,} updates of {column.width} units (paper: 1,000)"
        table = Table(box=None, padding=(0, 1), header_style="dim", title=title, title_justify="left")
        for name in ("", "ours", "paper", "as good as our best (p = 0.005)"):
            table.add_column(name)
        for name, error in column.ours.items():
            table.add_row(name, f"{error:.2f}", f"{column.theirs[name]:.2f}", "yes" if name in column.best else "")
        console().print(table)
    return 0
