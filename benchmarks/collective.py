"""The collective: what the ranks' exchange costs in a step that is audited, apart from waiting for a rank that is late.

`python3 dev.py bench collective` starts 2 and 4 ranks of gloo on this machine. Each trains a network of 200 layers under
DDP and audits every second step; a barrier before the exchange takes the waiting out of what is timed, another after it
keeps ranks that are done from taking the processor of those that are not. In the steps between, a bare blocking
`all_reduce` of as many zeros, and one of 8, are timed the same way: what the exchange costs beyond that would be photic's
doing. A step counts with its slowest rank.
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
from collections.abc import Callable
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

    def timed(vector: Tensor, send: Callable[[Tensor], None]) -> dict[str, float]:
        start = time.perf_counter()
        dist.barrier(group=handle._group)
        together, used = time.perf_counter(), time.process_time()
        send(vector)
        done, processor = time.perf_counter(), time.process_time() - used  # gloo's threads included
        dist.barrier(group=handle._group)  # who is done first leaves the processors to those who are not
        return {"waiting": together - start, "collective": done - together, "processor": processor}

    def exchange(vector: Tensor) -> None:
        found.append({**timed(vector, send), "numbers": float(vector.numel())})

    def bare(vector: Tensor) -> None:
        dist.all_reduce(vector, group=handle._group)

    def merge(*given: Any, **named: Any) -> Any:
        start = time.thread_time()
        merged = plain(*given, **named)
        found[-1]["packing"] = time.thread_time() - start  # of this thread's processor: waiting costs none
        return merged

    send = handle._exchange
    handle._exchange = exchange  # type: ignore[method-assign]
    distributed.merge = merge
    torch.manual_seed(dist.get_rank())
    for step in range(2 * audits):
        x, y = torch.randn(ROWS, WIDTH), torch.randint(4, (ROWS,))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if step % 2:
            for kind, length in (("bare", int(found[-1]["numbers"])), ("short", 8)):
                zeros = torch.zeros(length, dtype=torch.float64)
                found[-1] |= {f"{kind}_{name}": value for name, value in timed(zeros, bare).items()}
    handle.close()
    assert len(handle.exchanges) == len(found) == audits  # one exchange for each audit
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
    parts_ms = (
        "collective",
        "processor",
        "waiting",
        "packing",
        "bare_collective",
        "bare_processor",
        "short_collective",
    )
    slowest = {
        name: [1000.0 * max(step[name] for step in steps) for steps in zip(*parts, strict=True)] for name in parts_ms
    }
    every = [1000.0 * statistics.median(step["collective"] for step in steps) for steps in zip(*parts, strict=True)]
    beside = [ours / bare for ours, bare in zip(slowest["collective"], slowest["bare_collective"], strict=True)]
    used = [ours / bare for ours, bare in zip(slowest["processor"], slowest["bare_processor"], strict=True)]
    return {
        "ranks": ranks,
        "audits": len(slowest["collective"]),
        "numbers": parts[0][0]["numbers"],
        **{f"{name}_ms": statistics.median(values) for name, values in slowest.items()},
        "collective_middle_rank_ms": statistics.median(every),
        "collective_best_ms": min(slowest["collective"]),
        "collective_worst_ms": max(slowest["collective"]),
        "bare_collective_best_ms": min(slowest["bare_collective"]),
        "bare_collective_worst_ms": max(slowest["bare_collective"]),
        "ratio": statistics.median(beside),
        "processor_ratio": statistics.median(used),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--audits", type=int, default=20, help="steps that are audited")
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
            f"{row['ranks']} ranks, {LAYERS} layers, {row['numbers']:,.0f} numbers in one exchange per audit ({row['audits']} audits), "
            "medians of the slowest rank:\n"
            f"  the exchange        {row['collective_ms']:7.2f} ms wall ({row['collective_best_ms']:.2f} to "
            f"{row['collective_worst_ms']:.2f}; the middle rank {row['collective_middle_rank_ms']:.2f}), "
            f"{row['processor_ms']:.2f} ms of a processor\n"
            f"  a bare all_reduce   {row['bare_collective_ms']:7.2f} ms wall ({row['bare_collective_best_ms']:.2f} to "
            f"{row['bare_collective_worst_ms']:.2f}), {row['bare_processor_ms']:.2f} ms of a processor\n"
            f"  the same of 8 numbers {row['short_collective_ms']:5.2f} ms wall\n"
            f"  exchange over bare  {row['ratio']:7.2f} wall, {row['processor_ratio']:.2f} of a processor (medians of pairs)\n"
            f"  waiting for the slowest rank before it {row['waiting_ms']:.1f} ms; packing and unpacking the numbers, photic's own, "
            f"{row['packing_ms']:.1f} ms of a processor"
        )


if __name__ == "__main__":
    main()
