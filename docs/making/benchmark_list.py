"""The page of the benchmarks: every file of benchmarks/ with its question, and the tables that `bench NAME --write` kept."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(_ROOT / "benchmarks"))

from tables import MEASURED, TABLES, Table, benchmarks  # noqa: E402

_HEAD = """# Benchmarks

Every number that these pages print comes from one of these, from a test, or from `photic reproduce`. Rivals run in the same process or
the same call, by turns with ours, because times on shared machines are moods; ratios are medians of pairs.

    python3 dev.py bench                 # all of them, one after the other: hours
    python3 dev.py bench audit           # one; what follows is its own options, `--help` shows them
    python3 dev.py bench audit --write   # and keep its table for this page
    python3 dev.py bench --list          # what there is

Each run prints date, machine, load and versions first; what it prints is kept in `build/bench/`. *Newest result* is as of November 2026,
from the page that tells of it; where there is none, none is kept.
A rival that is not installed is left out of a run and does not fail it: wandb and TensorBoard are in the environment that `python3 dev.py zoo` makes.
"""


def page() -> str:
    """Return the page."""
    rows = ["| `dev.py bench` | question | beside it | newest result | told in |", "|---|---|---|---|---|"]
    for name, question in benchmarks().items():
        table = TABLES.get(name, Table())
        place = "below" if table.page == "benchmarks.md" else f"[{table.page.split('#')[0]}]({table.page})"
        newest = table.newest or ("below" if (MEASURED / f"{name}.md").exists() else "")
        rows.append(f"| `{name}` | {question} | {table.rival} | {newest} | {place if newest else ''} |")
    parts = [_HEAD, "\n".join(rows)]
    for path in sorted(MEASURED.glob("*.md")):
        parts.append(f"## {path.stem}\n\n{benchmarks()[path.stem]}\n\n{path.read_text(encoding='utf-8').strip()}")
    return "\n\n".join(parts)
