"""The pages that are made from the code: `python docs/making/pages.py` writes them, `--check` names those that are stale.

A page is a function that returns Markdown, in a file of this folder named for what it lists. What a page says is in the
code: docstrings, registries, the command line's own help, references.bib. Mend it there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import activations
import benchmark_list
import commands
import findings
import public_python
import sources
import statistic_words

import initialisers
import remedies

DOCS = Path(__file__).resolve().parents[1]
PAGES: dict[str, Callable[[], str]] = {
    "benchmarks.md": benchmark_list.page,
    "rules.md": findings.page,
    "reference/remedies.md": remedies.page,
    "reference/activations.md": activations.page,
    "reference/initialisers.md": initialisers.page,
    "reference/statistics.md": statistic_words.page,
    "reference/commands.md": commands.page,
    "reference/python.md": public_python.page,
    "reference/sources.md": sources.page,
}


def main() -> int:
    """Write every page, or with --check compare; return 1 when a page is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; name the pages that are stale")
    checking = parser.parse_args().check
    stale: list[str] = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page().rstrip() + "\n"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not checking:
            path.write_text(text, encoding="utf-8")
    words = "stale, run `python3 dev.py docs --write`" if checking else "written"
    print(f"{words}: {', '.join(stale)}" if stale else "every page is what the code says")
    return 1 if checking and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
