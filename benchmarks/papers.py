"""The page of the papers, from the scoreboard that the package brings along; --write renews docs/papers.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from photic.lab.board import counted, markdown
from photic.reports.scoreboard import read_stored, to_claims_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--write", action="store_true", help="renew docs/papers.md")
    options = parser.parse_args()
    board = read_stored()
    if options.write:
        (Path(__file__).parents[1] / "docs" / "papers.md").write_text(markdown(board), encoding="utf-8")
    print(to_claims_json(board) if options.json else counted(board))


if __name__ == "__main__":
    main()
