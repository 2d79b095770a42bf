"""What one rank does in the tests of trainers on several ranks: `torchrun trainer_ranks.py TRAINER FOLDER [sick] [plain]`."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DistributedSampler

from tests.integrations import plain_loop as plain
from tests.integrations.distributed_ranks import digest, leave_together, local


def trained(trainer: str, folder: Path, net: Any, *, watched: bool, record: Path) -> Any:
    """Train on this rank, and return the watch; without one where that is not asked for."""
    if trainer == "lightning":
        from photic.integrations.lightning import PhoticCallback
        from tests.integrations.test_lightning import Module, fit

        callback = PhoticCallback(record=record)
        rank = int(os.environ["RANK"])
        in_order: Any = DistributedSampler(range(len(plain.data()[0])), num_replicas=2, rank=rank, shuffle=False)  # type: ignore
        options = {"accumulate_grad_batches": 1, "devices": 2, "strategy": "ddp", "use_distributed_sampler": False}
        fit(Module(net), *([callback] if watched else []), sampler=in_order, **options)
        return callback.watch
    if trainer == "transformers":
        from photic.integrations.transformers import PhoticCallback as ForTheTrainer
        from tests.integrations.test_transformers import train

        after = ForTheTrainer(record=record)
        train(net, folder, *([after] if watched else []), accumulate=1, ddp_backend="gloo")
        return after.watch
    from tests.integrations.test_accelerate import train as train_by_hand

    return train_by_hand(net, watched=watched, accumulate=1, record=record, sharded=trainer == "accelerate-fsdp2")


def main() -> None:
    warnings.simplefilter("ignore")
    trainer, folder, rank = sys.argv[1], Path(sys.argv[2]), int(os.environ["RANK"])
    settings: dict[str, Any] = {"activation": torch.sigmoid, "depth": 10} if "sick" in sys.argv else {}
    record = folder / f"{rank}.sqlite"
    net = plain.build(plain.WithLoss if trainer == "transformers" else plain.Net, **settings)
    watch = trained(trainer, folder, net, watched="plain" not in sys.argv, record=record)
    result: dict[str, Any] = {"weights": [digest(local(parameter)) for parameter in net.parameters()]}
    if watch is not None:
        result |= {
            "faults": watch.faults,
            "steps": [step.step for step in watch.run.steps],
            "findings": [[f.problem, f.reason] for f in watch.findings],
            "numbers": plain.numbers(watch.run),
            "written": record.exists(),
        }
    (folder / f"rank{rank}.partial").write_text(json.dumps(result))
    (folder / f"rank{rank}.partial").rename(folder / f"rank{rank}.json")
    leave_together([folder / f"rank{other}.json" for other in range(2)])


if __name__ == "__main__":
    main()
