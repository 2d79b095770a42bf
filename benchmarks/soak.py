"""Soak: a million steps of a small network under the watch, with a record; memory and the record must not grow.

Prints the resident memory at intervals, the largest growth after the first tenth, the size of the record, and what the watch kept: how
many audits, how many rows in the store, how many were left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import photic
from photic.records.stores import StoreReader

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> float:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--watched", choices=("yes", "no"), default="yes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(8, 8), torch.randint(2, (8,))
    interval = max(1, options.steps // 20)
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "soak.sqlite"
        watch = photic.watch(model, optimizer, record=path) if options.watched == "yes" else None
        start = time.monotonic()
        for step in range(options.steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if (step + 1) % interval == 0:
                gc.collect()
                memory.append(resident())
                if not options.json:
                    print(f"{step + 1:>9} steps  {memory[-1]:7.1f} MB  {time.monotonic() - start:6.0f} s", flush=True)
        seconds = time.monotonic() - start
        result = {"steps": options.steps, "seconds": seconds, "memory_mb": memory}
        result["growth_mb"] = max(memory) - memory[min(1, len(memory) - 1)]
        if watch is not None:
            watch.close()
            files = [part.stat().st_size for part in Path(folder).glob("soak.sqlite*")]
            reader = StoreReader(path)
            rows = {series: len(reader.rows(series)) for series in reader.series()}
            reader.close()
            result |= {
                "cost": watch.cost(),
                "notes": watch.notes,
                "faults": watch.faults,
                "record_mb": sum(files) / 1e6,
                "rows": rows,
            }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"growth after the first tenth: {result['growth_mb']:.1f} MB")
        for name in ("cost", "record_mb", "rows", "notes", "faults"):
            print(f"{name}: {result.get(name)}")
    return 1 if watch is not None and watch.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
