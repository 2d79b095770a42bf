"""The scoreboard as a table for the terminal, as a page, and as JSON; and the one that the package brings along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from photic.records import documents
from photic.records.scoreboard import ClaimResult, PaperResult, Scoreboard

if TYPE_CHECKING:
    from rich.console import Console

STORED = Path(__file__).resolve().parents[1] / "lab" / "scoreboard.json"


def read_stored() -> Scoreboard:
    """Return the scoreboard that the package brings along; an empty one where it brings none."""
    return documents.read(STORED) if STORED.exists() else Scoreboard(())


def to_claims_json(board: Scoreboard) -> str:
    """Return `{"papers": [{"key", "title", "claims": [...]}]}`; `expected` is [low, high], null where there is no end."""
    fields = ("text", "place", "expected", "measured", "seeds", "holds")
    papers = [
        {
            "key": paper.key,
            "title": paper.title,
            "claims": [{name: documents.to_plain(getattr(claim, name)) for name in fields} for claim in paper.claims],
        }
        for paper in board.papers
    ]
    return json.dumps({"papers": papers}, allow_nan=False)


def number(value: float) -> str:
    """Return a number with three digits, plain where that is short."""
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e5):
        return f"{value:.2e}"
    return f"{value:.3g}" if size < 1000 else f"{value:.0f}"


def expected(claim: ClaimResult) -> str:
    """Return the range in words: `0.097 to 0.103`, `at least 1`, `at most 0.25`."""
    if claim.low is not None and claim.high is not None:
        return number(claim.low) if claim.low == claim.high else f"{number(claim.low)} to {number(claim.high)}"
    if claim.low is not None:
        return f"at least {number(claim.low)}"
    return f"at most {number(claim.high or 0.0)}"


def measured(claim: ClaimResult) -> str:
    """Return what was measured, with its spread over the seeds."""
    if claim.measured is None:
        return "not run"
    return number(claim.measured) + (f" ± {number(claim.spread)}" if claim.spread else "")


def verdict(claim: ClaimResult) -> str:
    """Return `holds`, `does not hold` or `open`."""
    return "open" if claim.holds is None else ("holds" if claim.holds else "does not hold")


def counted(board: Scoreboard) -> str:
    """Return how many claims hold, in one sentence."""
    claims = [claim for paper in board.papers for claim in paper.claims]
    hold, fail = (sum(claim.holds is wanted for claim in claims) for wanted in (True, False))
    left = f", {len(claims) - hold - fail} not run yet" if len(claims) > hold + fail else ""
    return f"{len(board.papers)} papers, {len(claims)} claims: {hold} hold, {fail} do not{left}"


def show_scoreboard(board: Scoreboard, console: Console) -> None:
    """Print one table per paper and the count."""
    from rich.markup import escape
    from rich.table import Table

    for paper in board.papers:
        table = Table(
            box=None, padding=(0, 1), header_style="dim", title=f"{paper.key}: {paper.title}", title_justify="left"
        )
        for title, width in (("claim", 58), ("place", 20), ("expected", 18), ("measured", 18), ("", 13)):
            table.add_column(title, max_width=width)
        colours = {"holds": "green", "does not hold": "red", "open": "dim"}
        for claim in paper.claims:
            said = verdict(claim)
            table.add_row(
                escape(claim.text), escape(claim.place), expected(claim), measured(claim), f"[{colours[said]}]{said}[/]"
            )
            if claim.note:
                table.add_row(f"  [dim]{escape(claim.note)}[/]", "", "", "", "")
        console.print(table)
        console.print()
    console.print(counted(board))


def _row(claim: ClaimResult) -> str:
    seeds = f"{claim.seeds} seed{'s' if claim.seeds > 1 else ''}"
    theirs = claim.theirs or "–"
    cells = (claim.text, claim.place, theirs, expected(claim), f"{measured(claim)} ({seeds})", verdict(claim))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _section(paper: PaperResult) -> list[str]:
    lines = [f"## {paper.key}: {paper.title}", ""]
    lines += ["| claim | place | theirs | expected | ours | |", "|---|---|---|---|---|---|"]
    lines += [_row(claim) for claim in paper.claims]
    notes = [f"- *{claim.text}* {claim.note}" for claim in paper.claims if claim.note]
    lines += ["", "How the ranges were derived:", ""]
    derived: dict[str, list[str]] = {}
    for index, claim in enumerate(paper.claims, 1):
        derived.setdefault(claim.tolerance, []).append(str(index))
    lines += [f"- claim {', '.join(which)}: {text}" for text, which in derived.items()]
    if notes:
        lines += ["", "Notes:", "", *notes]
    if paper.seconds:
        lines += [
            "",
            f"The quick size took {paper.seconds:.0f} s of one core; figures: {', '.join(paper.figures) or 'none'}.",
        ]
    return [*lines, ""]


def markdown(board: Scoreboard) -> str:
    """Return the scoreboard as a page."""
    facts = ", ".join(f"{name} {value}" for name, value in board.facts.items())
    lines = [
        "# The papers as claims that run",
        "",
        "Generated by `photic reproduce --all --store` and `python3 dev.py bench papers --write`; do not edit.",
        "",
        f"{counted(board)}. {facts}.",
        "",
        "A claim is one sentence of the paper in our words. *Expected* is the range it must lie in, *ours* the mean over",
        "the seeds and their standard deviation. A claim that does not hold stays, with our best explanation.",
        "",
    ]
    for paper in board.papers:
        lines += _section(paper)
    return "\n".join(lines).rstrip() + "\n"
