"""The collective: what the ranks' exchange costs in a step that is audited, apart from waiting for a rank that is late.

`python3 dev.py bench collective` starts 2 and 4 ranks of gloo on this machine. Each trains a network of 200 layers under
DDP and audits every second step; a barrier before the exchange takes the waiting out of what is timed. A step counts with
its slowest rank.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from photic.integrations import distributed
from photic.integrations.distributed import watch

LAYERS, WIDTH, ROWS = 200, 64, 16


def rank(folder: Path, audits: int) -> None:
    """Train on this rank and write, for each audit, seconds of collective, waiting, packing and the whole of both."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    layers = [part for _ in range(LAYERS - 1) for part in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    model = nn.parallel.DistributedDataParallel(nn.Sequential(*layers, nn.Linear(WIDTH, 4)))
    for parameter in model.parameters():
        if parameter.dim() == 2:
            nn.init.kaiming_normal_(parameter)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    handle = watch(model, optimizer, audit_every=2)
    found: list[dict[str, float]] = []
    plain: Any = distributed.merge

    def exchange(vector: Tensor) -> None:
        start = time.perf_counter()
        dist.barrier(group=handle._group)
        together, used = time.perf_counter(), time.process_time()
        dist.all_reduce(vector, group=handle._group)
        done, processor = time.perf_counter(), time.process_time() - used  # gloo's threads included
        found.append(
            {"waiting": together - start, "collective": done - together, "processor": processor, "numbers": float(vector.numel())}
        )  # fmt: skip

    def merge(*given: Any, **named: Any) -> Any:
        start = time.thread_time()
        merged = plain(*given, **named)
        found[-1]["packing"] = time.thread_time() - start  # of this thread's processor: waiting costs none
        return merged

    handle._exchange = exchange  # type: ignore[method-assign]
    distributed.merge = merge
    torch.manual_seed(dist.get_rank())
    for _ in range(2 * audits):
        x, y = torch.randn(ROWS, WIDTH), torch.randint(4, (ROWS,))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    handle.close()
    assert not handle.watch.faults, handle.watch.faults
    mine = folder / f"{dist.get_rank()}.json"
    mine.with_suffix(".part").write_text(json.dumps(found))
    mine.with_suffix(".part").rename(mine)
    while not all((folder / f"{other}.json").exists() for other in range(dist.get_world_size())):
        time.sleep(0.01)
    os._exit(0)  # gloo's teardown hangs now and then


def measured(ranks: int, audits: int) -> dict[str, float]:
    """Start the ranks; return medians over the audits of the slowest rank's milliseconds, the first audit left out."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), __file__]
        quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *command, "--rank", folder, "--audits", str(audits)], env=quiet, capture_output=True, text=True, check=False
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        parts = [json.loads((Path(folder) / f"{one}.json").read_text())[1:] for one in range(ranks)]
    slowest = {
        name: [1000.0 * max(step[name] for step in steps) for steps in zip(*parts, strict=True)]
        for name in ("collective", "processor", "waiting", "packing")
    }
    return {
        "ranks": ranks,
        "audits": len(slowest["collective"]),
        "numbers": parts[0][0]["numbers"],
        "collective_ms": statistics.median(slowest["collective"]),
        "collective_best_ms": min(slowest["collective"]),
        "collective_worst_ms": max(slowest["collective"]),
        "processor_ms": statistics.median(slowest["processor"]),
        "waiting_ms": statistics.median(slowest["waiting"]),
        "packing_ms": statistics.median(slowest["packing"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--audits", type=int, default=40, help="steps that are audited")
    parser.add_argument("--ranks", type=int, nargs="*", default=[2, 4])
    parser.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        rank(options.rank, options.audits)
        return
    rows = [measured(ranks, options.audits) for ranks in options.ranks]
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['ranks']} ranks, {LAYERS} layers, {row['numbers']:,.0f} numbers: collective {row['collective_ms']:.2f} ms "
            f"(median of {row['audits']} audits; {row['collective_best_ms']:.2f} to {row['collective_worst_ms']:.2f}; "
            f"{row['processor_ms']:.2f} of a processor), waiting for the slowest rank {row['waiting_ms']:.1f} ms, "
            f"putting the numbers together {row['packing_ms']:.1f} ms of a processor"
        )


if __name__ == "__main__":
    main()
