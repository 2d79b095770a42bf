"""A million steps under the watch: memory stays flat, and the record within its cap."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import photic
from photic.records.stores import MOST_ROWS, StoreReader


def resident() -> float:
    """Return the resident memory of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024.0
    return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--budget", type=float, default=0.01)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x, y = torch.randn(8, 4), torch.randn(8, 1)
    memory: dict[int, float] = {}
    marks = {2_000, options.steps // 10, options.steps // 2, options.steps - 1}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.sqlite"
        with photic.watch(model, optimizer, budget=options.budget, record=file) as watch:
            for step in range(options.steps):
                optimizer.zero_grad()
                (model(x) - y).square().mean().backward()
                optimizer.step()
                if step in marks:
                    memory[step] = resident()
        reader = StoreReader(file)
        rows = {series: len(reader.rows(series)) for series in reader.series()}
        result = {
            "steps": watch.steps,
            "seconds": time.perf_counter() - start,
            "memory in MB after steps": memory,
            "audits": sum(len(track.audited) for track in watch._tracks.values()),
            "overhead": watch.overhead,
            "rows": rows,
            "record in MB": sum(f.stat().st_size for f in Path(folder).iterdir()) / 1e6,
            "rows lost": reader.lost,
            "faults": watch.faults,
        }
        reader.close()
    assert not watch.faults and max(rows.values()) <= MOST_ROWS and not reader.lost
    early, late = memory[min(marks)], memory[max(marks)]
    assert late < 1.02 * early + 5.0, f"memory grew from {early} to {late} MB"
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
