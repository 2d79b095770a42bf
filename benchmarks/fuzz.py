"""Hostile hosts: thousands of drawn networks, trained with and without the watch, and checked; nothing may change or break.

A host is up to nine steps drawn from forty (in-place operations, shared and edited modules, nests, checkpoints, custom functions,
empty and non-finite tensors, raw parameters, plain lists of layers), a type, an optimizer, hooks of its own, frozen layers. Of each:
all gradients, weights, losses, buffers and random numbers equal bit for bit, the same error where the host fails, hooks as before, no
fault of photic's and no rule that fails. tests/hosts.py draws, tests/hosting.py judges.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
import traceback
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def judged(seed: int) -> tuple[int, str, list[str]]:
    """Return what was drawn and what is wrong with it."""
    from tests.hosting import wrong
    from tests.hosts import draw

    torch.set_num_threads(1)
    host = draw(seed)
    try:
        return seed, host.words, wrong(host)
    except Exception:
        return seed, host.words, [traceback.format_exc(limit=-3)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first (default 0)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.networks)
    start, found = time.monotonic(), 0
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for done, (seed, words, faults) in enumerate(pool.imap(judged, seeds, chunksize=8), 1):
            found += bool(faults)
            if options.json:
                print(json.dumps({"seed": seed, "network": words, "wrong": faults}), flush=True)
            else:
                for fault in faults:
                    print(f"{seed}: {words}\n    {fault}", flush=True)
                if done % 500 == 0:
                    print(
                        f"{done} of {options.networks}, {found} with a fault, {time.monotonic() - start:.0f} s",
                        file=sys.stderr,
                    )
    if not options.json:
        print(f"{options.networks} networks, {found} with a fault")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
