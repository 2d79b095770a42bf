"""The clinic's scoreboard: `photic clinic`, with the same options."""

from __future__ import annotations

import sys

from photic.cli.main import run

if __name__ == "__main__":
    raise SystemExit(run(["clinic", *sys.argv[1:]]))
