"""What one rank does in the distributed tests: `torchrun distributed_ranks.py MODE FOLDER [sick] [plain] [dies]`."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from photic.checkups.watching import Watch
from photic.integrations.distributed import watch as watch_ranks

STEPS, ROWS = 10, 32


class Net(nn.Module):
    def __init__(self, activation: Any, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        self.head = nn.Linear(16, 4)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.activation(layer(x))
        return self.head(x)


def main() -> None:
    mode, folder, words = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if mode != "single":
        dist.init_process_group("gloo")
    torch.manual_seed(0)
    sick = "sick" in words
    model: Any = Net(
        torch.sigmoid if sick else torch.relu,
        int(next((w[5:] for w in words if w.startswith("depth")), 10 if sick else 4)),
    )
    batches = world
    if mode.startswith("ddp"):
        model = nn.parallel.DistributedDataParallel(model)
    elif mode in ("fsdp2", "fsdp2-no-sync", "hsdp"):
        mesh = (
            init_device_mesh("cpu", (world,))
            if mode != "hsdp"
            else init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("copy", "shard"))
        )
        for layer in model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    elif mode in ("tp", "fsdp2tp"):
        both = mode == "fsdp2tp"
        mesh = init_device_mesh("cpu", (world // 2, 2) if both else (1, world), mesh_dim_names=("data", "tensor"))
        plan = {f"layers.{k}": ColwiseParallel() if k % 2 == 0 else RowwiseParallel() for k in range(len(model.layers))}
        parallelize_module(model, mesh["tensor"], plan)
        batches = world // 2 if both else 1
        if both:
            for layer in model.layers:
                fully_shard(layer, mesh=mesh["data"])
            fully_shard(model, mesh=mesh["data"])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    handle: Any = None
    if "plain" not in words:
        record = folder / "run.sqlite"
        handle = (
            Watch(model, optimizer, record=record)
            if mode == "single"
            else watch_ranks(model, optimizer, record=record, batches=batches, patience=5.0)
        )
        (handle if mode == "single" else handle.watch).pace.audit_every = 4
    generator = torch.Generator().manual_seed(1)
    own_batch = rank * batches // world
    for step in range(STEPS):
        x, y = torch.randn(ROWS, 16, generator=generator), torch.randint(4, (ROWS,), generator=generator)
        rows = slice(own_batch * ROWS // batches, (own_batch + 1) * ROWS // batches)
        x, y = x[rows], y[rows]
        if "dies" in words and rank == 1 and step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        optimizer.zero_grad()
        if mode.endswith("no-sync"):
            half = len(x) // 2
            with model.no_sync() if mode.startswith("ddp") else unsynced(model):
                (F.cross_entropy(model(x[:half]), y[:half]) / 2).backward()
            (F.cross_entropy(model(x[half:]), y[half:]) / 2).backward()
        else:
            F.cross_entropy(model(x), y).backward()
        optimizer.step()
    result: dict[str, Any] = {"weights": [digest(local(p)) for p in model.parameters()], "collectives": collectives()}
    if handle is not None:
        handle.close()
        inner = handle if mode == "single" else handle.watch
        run = inner.run
        result |= {
            "faults": inner.faults,
            "findings": [[f.problem, f.reason, list(f.sites)] for f in handle.findings],
            "parameters": {p.name: numbers(r) for p, r in zip(run.parameters, run.steps[-1].parameters)},
            "first": {p.name: numbers(r) for p, r in zip(run.parameters, run.steps[0].parameters)},
            "sites": {
                s.name: r.gradient.norm
                for s, r in zip(run.sites, run.steps[0].sites)
                if r.gradient and s.operation in ("linear", "relu", "sigmoid")
            },
            "signals": {
                s.name: r.signal.rms
                for s, r in zip(run.sites, run.steps[0].sites)
                if r.signal and s.operation in ("linear", "relu", "sigmoid")
            },
            "matrices": {
                s.name: [r.weight.fan_in, r.weight.fan_out, r.weight.variance, r.weight.row_sum_square]
                for s, r in zip(run.sites, run.steps[0].sites)
                if r.weight
            },
            "all_sites": [s.name for s in run.sites],
            "loss": run.steps[0].loss,
            "steps": [s.step for s in run.steps],
            "noise": getattr(handle, "noise", {}),
            "audits": sum(len(track.audited) for track in inner._tracks.values()),
            "exchanges": getattr(handle, "exchanges", []),
        }
    (folder / f"rank{rank}.partial").write_text(json.dumps(result))
    (folder / f"rank{rank}.partial").rename(folder / f"rank{rank}.json")
    if mode != "single" and "dies" not in words:
        leave_together([folder / f"rank{other}.json" for other in range(world)])


def leave_together(written: list[Path]) -> None:
    """Taking gloo's process group down waits, now and then for ever, for a thread that waits for the interpreter."""
    while not all(path.exists() for path in written):
        time.sleep(0.01)
    os._exit(0)


@contextmanager
def unsynced(model: Any) -> Iterator[None]:
    """What `no_sync` of DDP is, for FSDP2."""
    model.set_requires_gradient_sync(False)
    yield
    model.set_requires_gradient_sync(True)


def collectives() -> list[int]:
    """How many collectives each process group of this rank was asked for, in the order in which the groups were made."""
    groups: Any = dist.distributed_c10d._world.pg_map if dist.is_initialized() else ()
    return [group._get_sequence_number_for_group() for group in groups]


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def local(tensor: Any) -> Tensor:
    return (tensor.to_local() if hasattr(tensor, "to_local") else tensor).detach()


def numbers(read: Any) -> dict[str, float]:
    return {
        "weight": read.weight.norm, "gradient": -1.0 if read.gradient is None else read.gradient.norm, "count": read.weight.count,
        "update": read.update_ratio, "before": read.before_clipping, "zeros": read.weight.zeros,
    }  # fmt: skip


if __name__ == "__main__":
    main()
