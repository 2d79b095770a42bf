"""The scoreboard that the package brings along, as JSON, and its numbers in words."""

from __future__ import annotations

import json
from pathlib import Path

from photic.records import documents
from photic.records.scoreboard import ClaimResult, Scoreboard

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
