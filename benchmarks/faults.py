"""Faults: the n-th call that photic makes fails, n = 1, 2, 3 ... until none is left; the training must not notice.

First by what photic asks of the world: files, the database (connecting, statements, commits), the kernels (every read of a tensor),
hooks and threads. Then by photic's own functions, each at its 1st, 2nd and last call. Each once, and from then on. After every one: weights,
losses, buffers and random numbers equal bit for bit to those of a training without photic, at most one warning, torch's hooks, modes
and functions as before, no thread left. tests/faults.py makes things fail.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults import BOUNDARIES, Fuse, calls, failed, function, functions, trained


def runs(folder: Path, chosen: str) -> Iterator[tuple[str, str, Fuse, list[str]]]:
    """Yield the kind, the name, the fuse and what does not hold, fault by fault."""
    number = 0

    def record() -> Path:
        nonlocal number
        number += 1
        return folder / f"{number}.sqlite"

    for name, (what, error) in BOUNDARIES.items():
        for sticky in (False, True):
            nth, blown = 0, 1
            while blown and chosen in ("all", name):  # until the training completes without a fault
                nth += 1
                fuse = Fuse(nth, sticky, error)
                found = failed(what, fuse, record())
                blown = fuse.blown
                if blown:
                    yield name, "sticky" if sticky else "once", fuse, found
    for name in functions() if chosen in ("all", "functions") else ():
        what: Callable[[Fuse], Any] = functools.partial(function, name=name)
        count, found = calls(what, record())
        if found:
            yield "functions", name, Fuse(0, False), found
            continue
        for sticky in (False, True):
            for nth in sorted({1, 2, count} if count else ()):
                if nth <= count:
                    fuse = Fuse(nth, sticky)
                    found = failed(what, fuse, record())
                    yield "functions", name, fuse, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="all", choices=("all", *BOUNDARIES, "functions"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained(True)
    start, table, faults = time.monotonic(), dict[str, dict[str, Any]](), 0
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, fuse, found in runs(Path(folder), options.only):
            row = table.setdefault(kind, {"once": 0, "sticky": 0, "names": set(), "wrong": 0})
            row["sticky" if fuse.sticky else "once"] += 1
            row["names"] |= {name} if kind == "functions" else set(fuse.names)
            row["wrong"] += bool(found)
            faults += bool(found)
            for text in found:
                said = f"{kind} {name} at call {fuse.nth}{' and on' if fuse.sticky else ''}: {text}"
                print(said, file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps({kind: {**row, "names": sorted(row["names"])} for kind, row in table.items()}))
        return 1 if faults else 0
    for kind, row in table.items():
        print(
            f"{kind:10} {row['once']:5} once, {row['sticky']:5} sticky, {len(row['names']):4} kinds of call, {row['wrong']} with a fault"
        )
    print(f"{faults} with a fault, {time.monotonic() - start:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
