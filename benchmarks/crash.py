"""Crashes: records of writers that are killed at random moments, and of files that are cut or have bits flipped.

A writer puts rows of known numbers into a store; it is killed with SIGKILL at a random moment, a thousand times. What a reader then finds
must be the rows from the first one on without a gap, each with its numbers. A whole store of 3,000 rows is then damaged a thousand times,
cut at a random place or with one to eight bits flipped: every row that is read must be one that was written, reading ends, and the only
error is the one that says what is wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from photic.records.stores import StoreReader, StoreWriter

NAMES = 20
WRITER = """
import sys, time
from pathlib import Path
from photic.records.stores import StoreWriter
writer = StoreWriter(Path(sys.argv[1]), most=10**9)
print("begun", flush=True)
for step in range(10**6):
    while writer._queue.qsize() > 200:
        time.sleep(0.0005)
    writer.row("loss", step, [float(step * 20 + place) for place in range(20)])
"""


def expected(step: int) -> tuple[float, ...]:
    """Return what the row of a step holds."""
    return tuple(float(step * NAMES + place) for place in range(NAMES))


def killed(folder: Path, seed: int) -> tuple[int, str]:
    """Kill a writer at a random moment and return how many rows were read, and what is wrong with them."""
    path = folder / f"{seed}.sqlite"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.3))
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    reader = StoreReader(path)
    rows = reader.rows("loss")
    wrong = ""
    if [step for step, _ in rows] != list(range(len(rows))):
        wrong = "there is a gap"
    elif any(values != expected(step) for step, values in rows):
        wrong = "a number was invented"
    elif reader.lost or reader.damage:
        wrong = f"{reader.lost} lost, {reader.damage}"
    reader.close()
    for left in folder.glob(f"{seed}.sqlite*"):
        left.unlink()
    return len(rows), wrong


def damaged(whole: bytes, folder: Path, seed: int) -> dict[str, Any]:
    """Damage a copy and return what a reader made of it."""
    chance = random.Random(seed)
    data = bytearray(whole)
    cut = seed % 2 == 0
    if cut:
        del data[chance.randrange(len(data)) :]
    else:
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path = folder / f"damaged-{seed}.sqlite"
    path.write_bytes(data)
    start = time.monotonic()
    found: dict[str, Any] = {"seed": seed, "cut": cut, "rows": 0, "lost": 0, "said": "", "wrong": ""}
    try:
        reader = StoreReader(path)
        rows = reader.rows("loss")
        reader.facts()
        found |= {"rows": len(rows), "lost": reader.lost, "said": reader.damage}
        if any(values != expected(step) for step, values in rows):
            found["wrong"] = "a number was invented"
        elif len(rows) + reader.lost < 3000 and not reader.damage and not reader.lost:
            found["wrong"] = f"{3000 - len(rows)} rows are missing and nothing is said"
        reader.close()
    except ValueError as error:
        found["said"] = str(error)
    except Exception as error:
        found["wrong"] = f"{type(error).__name__}: {error}"
    if time.monotonic() - start > 10.0:
        found["wrong"] = "reading took more than ten seconds"
    for left in folder.glob(f"damaged-{seed}.sqlite*"):
        left.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        with ThreadPoolExecutor(3) as pool:
            kills = list(pool.map(lambda seed: killed(folder, seed), range(options.kills)))
        store = folder / "whole.sqlite"
        with StoreWriter(store) as writer:
            for step in range(3000):
                while writer._queue.qsize() > 200:
                    time.sleep(0.0005)
                writer.row("loss", step, expected(step))
        whole = store.read_bytes()
        damages = [damaged(whole, folder, seed) for seed in range(options.damages)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    faults = [wrong for _, wrong in kills if wrong] + [f"seed {d['seed']}: {d['wrong']}" for d in damages if d["wrong"]]
    cuts, flips = [d for d in damages if d["cut"]], [d for d in damages if not d["cut"]]
    result = {
        "kills": len(kills),
        "rows_after_a_kill": sum(rows for rows, _ in kills) / max(1, len(kills)),
        "cuts": len(cuts),
        "cuts_with_rows": sum(d["rows"] > 0 for d in cuts),
        "flips": len(flips),
        "flips_whole": sum(d["rows"] == 3000 for d in flips),
        "flips_rows_read": sum(d["rows"] for d in flips) / max(1, 3000 * len(flips)),
        "faults": faults,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{result['kills']} kills: {result['rows_after_a_kill']:.0f} rows read on average, without a gap")
        print(f"{result['cuts']} cuts: {result['cuts_with_rows']} with rows before the cut")
        print(
            f"{result['flips']} flips: {result['flips_whole']} with all rows, {100 * result['flips_rows_read']:.1f} % of all rows read"
        )
        print(f"{len(faults)} faults")
        for fault in faults[:20]:
            print(f"  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
